// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"berth.example/e2e/kubelet/standalone"
)

// Runtime is the runtime under test.
type Runtime struct {
	Endpoint      string
	Name          string // runtime_name of Version
	Ours          bool   // berth: all promises count
	Log           string // its log, empty when it is not ours to start
	Client        cri.RuntimeServiceClient
	importCommand func(file string) []string
	cmd           *exec.Cmd
	done          chan struct{}
	stopOnce      sync.Once
}

// bridge and its subnet are used inside the run's own network namespace only.
const (
	bridge       = "berthk0"
	bridgeSubnet = "10.213.77.0/24"
)

func (e *Env) leaseDir() string { return filepath.Join(e.Dir, "leases") }

func (e *Env) cniDir() (string, error) {
	dir := filepath.Join(e.Dir, "cni")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	conflist := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "berth-test-kubelet", "plugins": [
 {"type": "bridge", "bridge": %q, "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]], "dataDir": %q}}]}`,
		bridge, bridgeSubnet, e.leaseDir())
	return dir, os.WriteFile(filepath.Join(dir, "10-test.conflist"), []byte(conflist), 0o644)
}

// startRuntime starts the runtime that the flags ask for, or joins the running one, and waits for Version.
func (e *Env) startRuntime() error {
	cni, err := e.cniDir()
	if err != nil {
		return err
	}
	r := &Runtime{done: make(chan struct{})}
	switch {
	case *endpointFlag != "":
		r.Endpoint = *endpointFlag
		r.importCommand = func(file string) []string {
			return []string{"sh", "-c", strings.ReplaceAll(*importFlag, "{}", "'"+file+"'")}
		}
	case *peerFlag == "containerd":
		err = r.startContainerd(e, cni)
	case *binDirFlag != "":
		err = r.startBerthd(e, cni)
	default:
		err = errors.New("one of -bin-dir, -endpoint and -peer is needed")
	}
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(r.Endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	r.Client = cri.NewRuntimeServiceClient(connection)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		version, err := r.Client.Version(ctx, &cri.VersionRequest{})
		cancel()
		if err == nil {
			r.Name, r.Ours = version.RuntimeName, version.RuntimeName == "berth"
			fmt.Printf("runtime: %s %s at %s\n", version.RuntimeName, version.RuntimeVersion, r.Endpoint)
			e.Runtime = r
			return nil
		}
		ended := false
		select {
		case <-r.done:
			ended = true
		default:
		}
		if ended || time.Now().After(deadline) {
			r.stop()
			return fmt.Errorf("the runtime does not answer: %w; its log ends:\n%s", err, standalone.Tail(r.Log, 60))
		}
	}
}

func (r *Runtime) start(environment []string, argv ...string) error {
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Env = append(os.Environ(), environment...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = r.cmd.Wait(); close(r.done) }()
	return nil
}

// Pid of the runtime, 0 when it is not ours to start.
func (r *Runtime) Pid() int {
	if r.cmd == nil {
		return 0
	}
	return r.cmd.Process.Pid
}

// Ended is closed when a runtime that was started here is gone.
func (r *Runtime) Ended() <-chan struct{} { return r.done }

func (r *Runtime) stop() {
	if r.cmd == nil {
		return
	}
	r.stopOnce.Do(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-r.done:
		case <-time.After(30 * time.Second):
			fmt.Println("the runtime does not end on SIGTERM: killed")
			_ = r.cmd.Process.Kill()
			<-r.done
		}
	})
}

func (r *Runtime) startBerthd(e *Env, cni string) error {
	dir := filepath.Join(e.Dir, "berth")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	socket := filepath.Join(dir, "berth.sock")
	config := fmt.Sprintf(`root = %q
state = %q

[grpc]
socket = %q

[cgroup]
driver = "cgroupfs"
root = %q

[cni]
conf_dir = %q
bin_dirs = ["/usr/lib/cni"]

[log]
level = "debug"
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, e.Group.Path, cni)
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	r.Endpoint, r.Log = "unix://"+socket, filepath.Join(dir, "berthd.log")
	r.importCommand = func(image string) []string {
		return []string{filepath.Join(*binDirFlag, "berth"), "--endpoint", r.Endpoint, "import", image}
	}
	return r.start(nil, filepath.Join(*binDirFlag, "berthd"), "--config", file)
}

// startContainerd runs containerd (Debian's, or that of -peer-bin), to see that the suite itself is right. Its
// pause image is our own "faults" image (a static program that sleeps). containerd 2 reads this older form of the
// configuration too. NRI would make a socket on the host.
func (r *Runtime) startContainerd(e *Env, cni string) error {
	dir := filepath.Join(e.Dir, "containerd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	socket := filepath.Join(dir, "containerd.sock")
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
 address = %q
[plugins."io.containerd.grpc.v1.cri"]
 sandbox_image = "test.invalid/faults:1"
 restrict_oom_score_adj = true
 disable_hugetlb_controller = true
 [plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, cni)
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	program := func(name string) string {
		if path := filepath.Join(*peerBinFlag, name); *peerBinFlag != "" {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
		return name // from PATH: Debian's ctr serves containerd 2 as well
	}
	r.Endpoint, r.Log = "unix://"+socket, filepath.Join(dir, "containerd.log")
	r.importCommand = func(image string) []string {
		return []string{program("ctr"), "-a", socket, "-n", "k8s.io", "images", "import", image}
	}
	return r.start([]string{"PATH=" + *peerBinFlag + ":" + os.Getenv("PATH")}, program("containerd"), "--config", file)
}

// importImages makes images of e2e/images known to the runtime, as test.invalid/NAME:1.
func (e *Env) importImages(names []string) error {
	for _, name := range names {
		argv := e.Runtime.importCommand(filepath.Join(*imagesFlag, name+".docker.tar"))
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", argv, err, out)
		}
	}
	return nil
}
