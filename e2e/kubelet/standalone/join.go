// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Listener is the process that listens at a unix:// endpoint: the kernel remembers who called listen(2).
func Listener(endpoint string) (pid int, err error) {
	connection, err := net.Dial("unix", strings.TrimPrefix(endpoint, "unix://"))
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	raw, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	var failure error
	if err := raw.Control(func(fd uintptr) {
		credentials, failure = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failure != nil {
		return 0, failure
	}
	return int(credentials.Pid), nil
}

// joined are the mount and network namespaces of another process, held open.
type joined struct {
	mount, network *os.File
}

func join(pid int) (*joined, error) {
	mount, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return nil, err
	}
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		mount.Close()
		return nil, err
	}
	return &joined{mount, network}, nil
}

// command runs a program in the two namespaces, in this process's working directory.
func (j *joined) command(argv ...string) (*exec.Cmd, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	c := exec.Command("nsenter", append([]string{"--mount=/proc/self/fd/3", "--net=/proc/self/fd/4", "--wdns=" + here,
		"--"}, argv...)...)
	c.ExtraFiles = []*os.File{j.mount, j.network} // the first is 3
	return c, nil
}

// leave unmounts there what EnterIsolation has put over hostDirs, and what kubelet has left below dir. A mount that
// was there before is not touched: ours show the throw-away directory as their root.
func (j *joined) leave(dir string) error {
	defer j.mount.Close()
	defer j.network.Close()
	const script = `
name=$1 dir=$2
shift 2
awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount -l
for d; do
  ! grep -qF "/$name/host$d $d " /proc/self/mountinfo || umount -l "$d"
done`
	c, err := j.command(append([]string{"sh", "-ec", script, "sh", filepath.Base(dir), dir}, hostDirs...)...)
	if err != nil {
		return err
	}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot leave the runtime's namespaces as they were: %w: %s", err, out)
	}
	return nil
}
