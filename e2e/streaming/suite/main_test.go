// SPDX-License-Identifier: Apache-2.0

// Package suite drives berthd's streaming server with the real clients: client-go's remotecommand and
// portforward, and cri-client. Run as root: see e2e/streaming/run.
package suite

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var (
	binDirFlag   = flag.String("bin-dir", "", "folder with berthd, berth-monitor and berth")
	imagesFlag   = flag.String("images", "", "folder made by e2e/images/build")
	programsFlag = flag.String("programs", "", "folder made by e2e/streaming/build")
	keepFlag     = flag.Bool("keep", false, "keep the throw-away folder")
)

// insideEnv carries the throw-away directory to the copy of this program that has namespaces of its own.
const insideEnv = "BERTH_STREAMING_INSIDE"

var (
	workDir string
	cgroup  string // the sub-tree of this run
	target  *daemon
)

// count is how often the suites repeat what must never go wrong; the sizes that the issue asks for come with 100.
func count() int {
	if n, err := strconv.Atoi(os.Getenv("BERTH_TEST_COUNT")); err == nil && n > 0 {
		return n
	}
	return 3
}

func full() bool { return count() >= 100 }

func sized(few, many int) int {
	if full() {
		return many
	}
	return few
}

func TestMain(m *testing.M) {
	flag.Parse()
	dir := os.Getenv(insideEnv)
	if dir == "" {
		os.Exit(runIsolated())
	}
	workDir = dir
	cgroup = fmt.Sprintf("/berth-test-streaming-%d", os.Getppid())
	os.Exit(runInside(m))
}

// runIsolated runs this program again in namespaces of its own and cleans up whatever its end was.
func runIsolated() int {
	dir, err := os.MkdirTemp("", "berth-test-streaming-")
	if err != nil {
		fmt.Println("FAIL:", err)
		return 1
	}
	group := fmt.Sprintf("/berth-test-streaming-%d", os.Getpid())
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), insideEnv+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := child.Start(); err != nil {
		fmt.Println("FAIL:", err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = child.Process.Signal(s)
		}
	}()
	_ = child.Wait()
	code := child.ProcessState.ExitCode()
	if left := removeCgroup(group); left != "" {
		fmt.Println("FAIL: left behind:", left)
		code = 1
	}
	if *keepFlag || code != 0 {
		fmt.Println("logs and state are kept in", dir)
	} else {
		_ = os.RemoveAll(dir)
	}
	if code < 0 {
		code = 1
	}
	return code
}

func hierarchies() []string {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	var found []string
	for _, line := range strings.Split(string(text), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		if fields := strings.Fields(before); ok && strings.HasPrefix(after, "cgroup") && len(fields) > 4 {
			found = append(found, fields[4])
		}
	}
	return found
}

// removeCgroup kills what is in the sub-tree and removes it; it returns what does not go.
func removeCgroup(group string) string {
	var left []string
	for _, mount := range hierarchies() {
		var dirs []string
		_ = filepath.WalkDir(mount+group, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			pids, _ := os.ReadFile(dirs[i] + "/cgroup.procs")
			for _, pid := range strings.Fields(string(pids)) {
				if n, err := strconv.Atoi(pid); err == nil {
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
			}
			gone := until(func() bool { return syscall.Rmdir(dirs[i]) == nil || !exists(dirs[i]) })
			if !gone {
				left = append(left, dirs[i])
			}
		}
	}
	return strings.Join(left, ", ")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func runInside(m *testing.M) int {
	fail := func(err error) int {
		fmt.Println("FAIL: cannot prepare:", err)
		return 1
	}
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fail(err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fail(fmt.Errorf("ip: %w: %s", err, out))
	}
	for _, mount := range hierarchies() {
		_ = os.Mkdir(mount+cgroup, 0o755)
	}
	var err error
	if target, err = startDaemon("berth", ""); err != nil {
		return fail(err)
	}
	defer target.stop()
	if err := target.importImage("busybox"); err != nil {
		return fail(err)
	}
	return m.Run()
}
