// SPDX-License-Identifier: Apache-2.0

// Package harness is what the suites with a real kubelet share: namespaces and a cgroup sub-tree of their own, the
// runtime under test, its images, and the look at what a run left behind.
package harness

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"berth.example/e2e/kubelet/standalone"
)

var (
	programsFlag = flag.String("programs", "", "folder made by e2e/kubelet/build or e2e/cluster/build")
	imagesFlag   = flag.String("images", "", "folder made by e2e/images/build")
	binDirFlag   = flag.String("bin-dir", "", "folder with berthd, berth-monitor and berth: starts a berthd of its own")
	endpointFlag = flag.String("endpoint", "", "unix:///… of a runtime that runs already")
	importFlag   = flag.String("import", "", "with -endpoint: command that imports a docker-archive, {} is the file")
	peerFlag     = flag.String("peer", "", "'containerd': starts a containerd instead of berthd")
	peerBinFlag  = flag.String("peer-bin", "", "folder with containerd, its shim and ctr (default: from PATH)")
	keepFlag     = flag.Bool("keep", false, "keep the throw-away folder (logs, state) also after success")
)

// Env is what one run of a suite has of its own.
type Env struct {
	Dir     string             // the throw-away folder
	Bin     string             // the folder with kubelet and what else the suite runs
	Group   *standalone.Cgroup // the cgroup sub-tree: daemons in "daemons", pods below kubelet's cgroupRoot
	Runtime *Runtime
}

// Suite says what a suite needs.
type Suite struct {
	Name   string   // "kubelet": part of the cgroup's name
	Images []string // names in e2e/images
	// Start runs in the copy, once the runtime answers; what it returns is called at the end.
	Start func(*Env) (stop func(), err error)
}

// Main is a suite's TestMain: the program runs itself again in its own namespaces, starts the runtime there and
// then the tests; the outer one cleans up. The result is for os.Exit.
func Main(m *testing.M, suite Suite) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	dir, inside := standalone.Inside()
	if inside {
		return suite.runInside(m, dir)
	}
	if *programsFlag == "" || *imagesFlag == "" {
		fmt.Printf("needs -programs, -images and one of -bin-dir, -endpoint and -peer: see e2e/%s/run\n", suite.Name)
		return 2
	}
	isolation := standalone.Isolation{Keep: *keepFlag, CgroupPath: fmt.Sprintf("/berth-test-%s-%d", suite.Name, os.Getpid())}
	if *endpointFlag != "" {
		var err error
		if isolation.Join, err = standalone.Listener(*endpointFlag); err != nil {
			fmt.Printf("FAIL: nobody answers at %s: %v\n", *endpointFlag, err)
			return 1
		}
	}
	code, err := standalone.RunIsolated(isolation)
	if err != nil {
		fmt.Println("FAIL: the host is not as it was:", err)
		return 1
	}
	fmt.Println("kernel settings and cgroups of the host are as they were before")
	return code
}

func (s Suite) runInside(m *testing.M, dir string) int {
	// The pods of one kubelet wait, they do not compute: all at once, whatever the number of processors.
	_ = flag.Set("test.parallel", "32")
	env := &Env{Dir: dir, Bin: *programsFlag}
	stop := func() {}
	err := func() (err error) {
		if err = standalone.EnterIsolation(dir); err != nil {
			return err
		}
		// The copy's parent made the sub-tree under its own pid.
		env.Group, err = standalone.NewCgroup(fmt.Sprintf("/berth-test-%s-%d", s.Name, os.Getppid()))
		if err != nil {
			return err
		}
		if err = env.Group.Enter("daemons"); err != nil {
			return err
		}
		return env.startRuntime()
	}()
	if err != nil {
		fmt.Println("FAIL: cannot prepare:", err)
		return 1
	}
	defer env.Runtime.stop()
	// A terminated test program still stops the daemons in order; the parent kills what is left.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		env.Runtime.stop()
		os.Exit(1)
	}()
	if err = env.importImages(s.Images); err == nil {
		stop, err = s.Start(env)
	}
	if err != nil {
		fmt.Println(standalone.Tail(env.Runtime.Log, 60))
		fmt.Println("FAIL: cannot prepare:", err)
		return 1
	}
	defer stop()
	code := m.Run()
	summary(env.Runtime)
	return code
}
