// SPDX-License-Identifier: Apache-2.0

// Package suite runs a real kubelet, standalone, on a CRI runtime and looks at what kubelet, the runtime and
// the kernel then say about pods that die in different ways. Run as root:
//
//	suite.test -bin-dir build/debug/bin -kubelet PATH -images DIR -test.v
//	suite.test -endpoint unix:///run/x.sock -import 'ctr -n k8s.io images import {}' …
//
// Some expectations are promises of berth's alone (evidence in messages, exact codes of failed starts). With
// another runtime they are printed as "not met by this runtime" and fail nothing.
package suite

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"berth.example/e2e/kubelet/standalone"
)

var (
	kubeletFlag  = flag.String("kubelet", "", "kubelet's binary")
	imagesFlag   = flag.String("images", "", "folder made by e2e/images/build")
	binDirFlag   = flag.String("bin-dir", "", "folder with berthd, berth-monitor and berth: starts a berthd of its own")
	endpointFlag = flag.String("endpoint", "", "unix:///… of a runtime that runs already")
	importFlag   = flag.String("import", "", "with -endpoint: command that imports a docker-archive, {} is the file")
	peerFlag     = flag.String("peer", "", "'containerd': starts Debian's containerd instead of berthd")
	keepFlag     = flag.Bool("keep", false, "keep the throw-away folder (logs, state) also after success")
)

// The throw-away folder, the cgroup sub-tree and the runtime of this run.
var (
	workDir string
	group   *standalone.Cgroup
	target  *criRuntime
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, inside := standalone.Inside()
	if !inside {
		if *kubeletFlag == "" || *imagesFlag == "" {
			fmt.Println("needs -kubelet and -images (and -bin-dir or -endpoint): see e2e/kubelet/run")
			os.Exit(2)
		}
		code, err := standalone.RunIsolated(standalone.Isolation{
			CgroupPath: fmt.Sprintf("/berth-test-kubelet-%d", os.Getpid()), Keep: *keepFlag})
		if err != nil {
			fmt.Println("FAIL: the host is not as it was:", err)
			os.Exit(1)
		}
		fmt.Println("kernel settings and cgroups of the host are as they were before")
		os.Exit(code)
	}
	os.Exit(runInside(m, dir))
}

func runInside(m *testing.M, dir string) int {
	workDir = dir
	// The pods of one kubelet wait, they do not compute: all at once, whatever the number of processors.
	_ = flag.Set("test.parallel", "32")
	fail := func(err error) int {
		fmt.Println("FAIL: cannot prepare:", err)
		return 1
	}
	if err := standalone.EnterIsolation(dir); err != nil {
		return fail(err)
	}
	// The copy's parent made the sub-tree under its own pid.
	var err error
	if group, err = standalone.NewCgroup(fmt.Sprintf("/berth-test-kubelet-%d", os.Getppid())); err != nil {
		return fail(err)
	}
	if err := group.Enter("daemons"); err != nil {
		return fail(err)
	}
	if target, err = startRuntime(); err != nil {
		return fail(err)
	}
	defer target.stop()
	// A terminated test program still stops the daemons in order; the parent kills what is left.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		target.stop()
		os.Exit(1)
	}()
	if err := importImages(); err != nil {
		fmt.Println(standalone.Tail(target.log, 60))
		return fail(err)
	}
	code := m.Run()
	notMetSummary()
	return code
}

func importImages() error {
	for _, name := range []string{"busybox", "python", "nginx", "faults"} {
		file := filepath.Join(*imagesFlag, name+".docker.tar")
		argv := target.importCommand(file)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", argv, err, out)
		}
	}
	return nil
}
