// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// insideEnv carries the throw-away directory to the copy of the program that runs in namespaces of its own.
const insideEnv = "BERTH_KUBELET_INSIDE"

// joinedEnv tells that copy that its namespaces are not its own.
const joinedEnv = "BERTH_KUBELET_JOINED"

// Isolation says what the copy of the program gets of its own.
type Isolation struct {
	CgroupPath string // the cgroup sub-tree to make, and to empty and remove afterwards
	Keep       bool   // the throw-away directory stays, also after success
	Join       int    // a process whose mount and network namespaces are used in place of new ones; 0: none
}

// Inside tells whether this process is the copy, and its throw-away directory.
func Inside() (dir string, inside bool) {
	dir = os.Getenv(insideEnv)
	return dir, dir != ""
}

// hostDirs are written by kubelet whatever its configuration says (device plugin socket, symlinks to logs,
// FlexVolume plugins) or by CNI's library: in the namespace they are empty directories of the throw-away one.
var hostDirs = []string{"/var/log/containers", "/var/lib/kubelet", "/usr/libexec/kubernetes", "/var/lib/cni"}

// RunIsolated starts this program again, with the same arguments, in a private mount and network namespace
// and with a throw-away directory, waits for it, and cleans up whatever its end was: processes of the
// sub-tree, the sub-tree, the host's kernel settings, the throw-away directory. It returns the copy's exit code; the
// error tells what could not be cleaned up, so a caller makes its own exit code non-zero then.
//
// kubelet's mounts live and die with that mount namespace. A runtime that is started by the copy shares it
// and sees them. One that runs already does not, and its pods are on another network: its namespaces are joined.
func RunIsolated(how Isolation) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("must be root")
	}
	runtime.LockOSThread() // Pdeathsig below goes by thread
	defer runtime.UnlockOSThread()
	lock, err := lockHost()
	if err != nil {
		return 1, err
	}
	defer lock.Close()
	before := ReadSysctls()
	dir, err := os.MkdirTemp("", "berth-test-kubelet-")
	if err != nil {
		return 1, err
	}
	var made []string
	for _, d := range hostDirs {
		made = append(made, makeAll(d)...)
		if err := os.MkdirAll(filepath.Join(dir, "host", d), 0o755); err != nil {
			return 1, err
		}
	}
	group, err := NewCgroup(how.CgroupPath)
	if err != nil {
		return 1, err
	}

	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	var other *joined
	if how.Join != 0 {
		// Once there, /proc/self/exe would be nsenter.
		program, err := os.Executable()
		if err != nil {
			return 1, err
		}
		if other, err = join(how.Join); err != nil {
			return 1, fmt.Errorf("cannot join the namespaces of process %d: %w", how.Join, err)
		}
		if child, err = other.command(append([]string{program}, os.Args[1:]...)...); err != nil {
			return 1, err
		}
	}
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), insideEnv+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if other != nil {
		child.Env = append(child.Env, joinedEnv+"=1")
	} else {
		child.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return 1, fmt.Errorf("cannot start in namespaces of its own: %w", err)
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				// A Ctrl-C reaches the copy from the terminal too; twice is as good as once.
				_ = child.Process.Signal(s)
			case <-done:
				return
			}
		}
	}()
	waitErr := child.Wait()
	close(done)
	code = child.ProcessState.ExitCode()
	if waitErr != nil && code <= 0 {
		code = 1
	}

	var failures []error
	failures = append(failures, group.Remove(), before.Restore())
	if other != nil {
		failures = append(failures, other.leave(dir))
	}
	if !how.Keep && code == 0 {
		failures = append(failures, os.RemoveAll(dir))
	} else {
		fmt.Fprintf(os.Stderr, "logs and state are kept in %s\n", dir)
	}
	for i := len(made) - 1; i >= 0; i-- {
		_ = syscall.Rmdir(made[i]) // somebody else may have put something there meanwhile
	}
	return code, errors.Join(failures...)
}

// lockHost waits until no other run is under way: two that overlap would each take the other's kernel settings
// for those of the host. The lock is on a directory, so that no file of ours stays behind.
func lockHost() (*os.File, error) {
	lock, err := os.Open("/run")
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return lock, nil
	}
	fmt.Fprintln(os.Stderr, "waiting: another standalone kubelet runs on this host")
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot lock \"/run\": %w", err)
	}
	return lock, nil
}

// EnterIsolation is the copy's first step: mounts, loopback, and an uplink, so that the node has an address. A
// bridge without ports is enough of one (and unlike a dummy device every kernel with CNI has it). Nothing can
// leave by it. In joined namespaces only hostDirs are covered.
func EnterIsolation(dir string) error {
	own := os.Getenv(joinedEnv) == ""
	// First private, so that nothing travels to the host; then shared again inside, as systemd makes it on
	// real nodes: a runtime that leaks mounts into "/" is then seen here too.
	for _, how := range []uintptr{syscall.MS_PRIVATE, syscall.MS_SHARED} {
		if !own {
			break
		}
		if err := syscall.Mount("", "/", "", how|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("cannot change the propagation of \"/\": %w", err)
		}
	}
	for _, d := range hostDirs {
		if err := syscall.Mount(filepath.Join(dir, "host", d), d, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot bind %q: %w", d, err)
		}
	}
	if !own {
		if NodeAddress() == "" {
			return errors.New("the runtime's network namespace has no address but loopback: the node needs one")
		}
		return nil
	}
	for _, arguments := range []string{"link set lo up", "link add uplink type bridge",
		"address add 192.0.2.1/24 dev uplink", "link set uplink up", "route add default via 192.0.2.254 dev uplink"} {
		if out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", arguments, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// makeAll is MkdirAll that returns what it made, parents first.
func makeAll(path string) []string {
	var missing []string
	for p := path; p != "/"; p = filepath.Dir(p) {
		if _, err := os.Lstat(p); err == nil {
			break
		}
		missing = append([]string{p}, missing...)
	}
	for _, p := range missing {
		_ = os.Mkdir(p, 0o755)
	}
	return missing
}
