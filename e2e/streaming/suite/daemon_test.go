// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	internalapi "k8s.io/cri-api/pkg/apis"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"
)

// patience is how long a thing that must happen may take on a machine that does much else.
const patience = 2 * time.Minute

// until waits for the thing itself.
func until(done func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

type daemon struct {
	dir      string
	endpoint string
	cmd      *exec.Cmd
	done     chan struct{}
	once     sync.Once
	runtime  internalapi.RuntimeService
}

// startDaemon starts a berthd; `more` is added to its configuration.
func startDaemon(name, more string) (*daemon, error) {
	d := &daemon{dir: filepath.Join(workDir, name), done: make(chan struct{})}
	cni := filepath.Join(d.dir, "cni")
	if err := os.MkdirAll(cni, 0o755); err != nil {
		return nil, err
	}
	conflist := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "berth-test-streaming", "plugins": [
 {"type": "bridge", "bridge": "berths0", "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.213.78.0/24"}]], "dataDir": %q}}]}`, filepath.Join(d.dir, "leases"))
	if err := os.WriteFile(filepath.Join(cni, "10-test.conflist"), []byte(conflist), 0o644); err != nil {
		return nil, err
	}
	socket := filepath.Join(d.dir, "berth.sock")
	config := fmt.Sprintf(`root = %q
state = %q
[grpc]
socket = %q
[cgroup]
root = %q
[cni]
conf_dir = %q
bin_dirs = ["/usr/lib/cni"]
%s`, filepath.Join(d.dir, "root"), filepath.Join(d.dir, "state"), socket, cgroup, cni, more)
	file := filepath.Join(d.dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	d.endpoint = "unix://" + socket
	log, err := os.Create(filepath.Join(d.dir, "berthd.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd = exec.Command(filepath.Join(*binDirFlag, "berthd"), "--config", file)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	ready := until(func() bool {
		select {
		case <-d.done:
			return true
		default:
			return exists(socket)
		}
	})
	if ready && exists(socket) {
		d.runtime, err = criclient.NewRemoteRuntimeService(context.Background(), d.endpoint, 2*time.Minute, nil, false)
	}
	if d.runtime == nil {
		d.stop()
		words, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("berthd does not serve: %v\n%s", err, words)
	}
	return d, nil
}

func (d *daemon) stop() {
	d.once.Do(func() {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(patience):
			fmt.Println("berthd does not end on SIGTERM: killed")
			_ = d.cmd.Process.Kill()
			<-d.done
		}
	})
}

func (d *daemon) importImage(name string) error {
	file := filepath.Join(*imagesFlag, name+".docker.tar")
	if out, err := exec.Command(filepath.Join(*binDirFlag, "berth"), "--endpoint", d.endpoint, "import", file).CombinedOutput(); err != nil {
		return fmt.Errorf("import %s: %w: %s", file, err, out)
	}
	return nil
}

// usage is what a daemon holds.
type usage struct {
	fds, threads, children int
	rssKiB                 int
}

func (d *daemon) usage() usage {
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	var u usage
	fds, _ := os.ReadDir(proc + "fd")
	u.fds = len(fds)
	status, _ := os.ReadFile(proc + "status")
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "Threads:":
			u.threads, _ = strconv.Atoi(fields[1])
		case "VmRSS:":
			u.rssKiB, _ = strconv.Atoi(fields[1])
		}
	}
	tasks, _ := filepath.Glob(proc + "task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		u.children += len(strings.Fields(string(children)))
	}
	return u
}

// settles waits until the daemon holds no more than before, but for `kib` of memory.
func (d *daemon) settles(t *testing.T, before usage, kib int) {
	t.Helper()
	var now usage
	if !until(func() bool {
		now = d.usage()
		return now.fds <= before.fds && now.threads <= before.threads && now.children <= before.children
	}) {
		t.Errorf("berthd held %+v before and holds %+v", before, now)
	}
	// A sanitizer keeps what is freed for a while.
	if os.Getenv("ASAN_OPTIONS") == "" && now.rssKiB > before.rssKiB+kib {
		t.Errorf("berthd's memory grew from %d to %d KiB", before.rssKiB, now.rssKiB)
	}
	t.Logf("before %+v, after %+v", before, now)
}

type container struct {
	daemon  *daemon
	pod, id string
}

type shape struct {
	host                  bool // the host's network
	tty, stdin, stdinOnce bool
	command               []string // default: sleeps
}

var serial int

func (d *daemon) run(t *testing.T, s shape) container {
	t.Helper()
	serial++
	name := fmt.Sprintf("%s-%d", strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == '_' || r == '#' {
			return '-'
		}
		return r
	}, t.Name())), serial)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	network := cri.NamespaceMode_POD
	if s.host {
		network = cri.NamespaceMode_NODE
	}
	podConfig := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name},
		LogDirectory: filepath.Join(d.dir, "logs", name),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: network}}},
	}
	pod, err := d.runtime.RunPodSandbox(ctx, podConfig, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := d.runtime.StopPodSandbox(ctx, pod); err != nil {
			t.Error(err)
		}
		if err := d.runtime.RemovePodSandbox(ctx, pod); err != nil {
			t.Error(err)
		}
	})
	command := s.command
	if command == nil {
		command = []string{"sleep", "100000"}
	}
	id, err := d.runtime.CreateContainer(ctx, pod, &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"},
		Image:    &cri.ImageSpec{Image: "test.invalid/busybox:1"},
		Command:  command,
		LogPath:  "c.log",
		Tty:      s.tty, Stdin: s.stdin, StdinOnce: s.stdinOnce,
		Mounts: []*cri.Mount{{ContainerPath: "/inside", HostPath: filepath.Join(*programsFlag, "inside"), Readonly: true}},
	}, podConfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.runtime.StartContainer(ctx, id); err != nil {
		t.Fatal(err)
	}
	return container{d, pod, id}
}

// says runs a command in the container and returns its output.
func (c container) says(t *testing.T, command ...string) string {
	t.Helper()
	out, _, _ := c.daemon.runtime.ExecSync(context.Background(), c.id, command, patience)
	return strings.TrimSpace(string(out))
}

func (c container) log(t *testing.T) string {
	t.Helper()
	status, err := c.daemon.runtime.ContainerStatus(context.Background(), c.id, false)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(status.Status.LogPath)
	return string(text)
}

func (c container) state(t *testing.T) cri.ContainerState {
	t.Helper()
	status, err := c.daemon.runtime.ContainerStatus(context.Background(), c.id, false)
	if err != nil {
		t.Fatal(err)
	}
	return status.Status.State
}
