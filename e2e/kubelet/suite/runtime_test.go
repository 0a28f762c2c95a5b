// SPDX-License-Identifier: Apache-2.0

package suite

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

// criRuntime is the runtime under test.
type criRuntime struct {
	endpoint      string
	name          string // runtime_name of Version
	ours          bool   // berth: all promises count
	log           string // its log, empty when it is not ours to start
	client        cri.RuntimeServiceClient
	importCommand func(file string) []string
	cmd           *exec.Cmd
	done          chan struct{}
	stopOnce      sync.Once
}

// bridgeSubnet is used inside the run's own network namespace only.
const bridgeSubnet = "10.213.77.0/24"

func cniDir() (string, error) {
	dir := filepath.Join(workDir, "cni")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	conflist := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "berth-test-kubelet", "plugins": [
 {"type": "bridge", "bridge": "berthk0", "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]], "dataDir": %q}}]}`, bridgeSubnet, leaseDir())
	return dir, os.WriteFile(filepath.Join(dir, "10-test.conflist"), []byte(conflist), 0o644)
}

func leaseDir() string { return filepath.Join(workDir, "leases") }

// startRuntime starts the runtime that the flags ask for, or joins the running one, and waits for Version.
func startRuntime() (*criRuntime, error) {
	cni, err := cniDir()
	if err != nil {
		return nil, err
	}
	r := &criRuntime{done: make(chan struct{})}
	switch {
	case *endpointFlag != "":
		r.endpoint = *endpointFlag
		r.importCommand = func(file string) []string {
			return []string{"sh", "-c", strings.ReplaceAll(*importFlag, "{}", "'"+file+"'")}
		}
	case *peerFlag == "containerd":
		err = r.startContainerd(cni)
	case *binDirFlag != "":
		err = r.startBerthd(cni)
	default:
		err = errors.New("one of -bin-dir, -endpoint and -peer is needed")
	}
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(r.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	r.client = cri.NewRuntimeServiceClient(connection)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		version, err := r.client.Version(ctx, &cri.VersionRequest{})
		cancel()
		if err == nil {
			r.name, r.ours = version.RuntimeName, version.RuntimeName == "berth"
			fmt.Printf("runtime: %s %s at %s\n", version.RuntimeName, version.RuntimeVersion, r.endpoint)
			return r, nil
		}
		ended := false
		select {
		case <-r.done:
			ended = true
		default:
		}
		if ended || time.Now().After(deadline) {
			r.stop()
			return nil, fmt.Errorf("the runtime does not answer: %w; its log ends:\n%s", err, standalone.Tail(r.log, 60))
		}
	}
}

func (r *criRuntime) start(argv ...string) error {
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = r.cmd.Wait(); close(r.done) }()
	return nil
}

func (r *criRuntime) pid() int {
	if r.cmd == nil {
		return 0
	}
	return r.cmd.Process.Pid
}

func (r *criRuntime) stop() {
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

func (r *criRuntime) startBerthd(cni string) error {
	dir := filepath.Join(workDir, "berth")
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
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, group.Path, cni)
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	r.endpoint, r.log = "unix://"+socket, filepath.Join(dir, "berthd.log")
	r.importCommand = func(image string) []string {
		return []string{filepath.Join(*binDirFlag, "berth"), "--endpoint", r.endpoint, "import", image}
	}
	return r.start(filepath.Join(*binDirFlag, "berthd"), "--config", file)
}

// startContainerd runs Debian's containerd, to see that the suite itself is right. Its pause image is our own
// "faults" image (a static program that sleeps).
func (r *criRuntime) startContainerd(cni string) error {
	dir := filepath.Join(workDir, "containerd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	socket := filepath.Join(dir, "containerd.sock")
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.internal.v1.opt"]
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
	r.endpoint, r.log = "unix://"+socket, filepath.Join(dir, "containerd.log")
	r.importCommand = func(image string) []string {
		return []string{"ctr", "-a", socket, "-n", "k8s.io", "images", "import", image}
	}
	return r.start("containerd", "--config", file)
}
