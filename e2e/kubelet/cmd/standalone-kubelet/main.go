// SPDX-License-Identifier: Apache-2.0

// standalone-kubelet runs a kubelet without an API server on a CRI endpoint, in a mount namespace of its own,
// until it gets SIGTERM or SIGINT, and then puts the host back as it was:
//
//	standalone-kubelet --kubelet BIN --endpoint unix:///… --root DIR --manifests DIR [--cgroup-root /PATH]
//
// Once kubelet answers it prints one line, "ready http://127.0.0.1:PORT/pods pid=N log=FILE". The manifests
// are for others to write and remove. On the way out it empties the folder first, when --drain is given, and
// waits until kubelet has ended the pods; the cgroup sub-tree is emptied (by force) and removed in any case.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"berth.example/e2e/kubelet/standalone"
)

func main() {
	var o standalone.Options
	flag.StringVar(&o.Binary, "kubelet", "kubelet", "kubelet's binary, 1.36")
	flag.StringVar(&o.Endpoint, "endpoint", "unix:///run/berth/berth.sock", "CRI endpoint")
	flag.StringVar(&o.Root, "root", "", "folder for kubelet's state, configuration and log (needed)")
	flag.StringVar(&o.Manifests, "manifests", "", "folder of static pods (default: ROOT/manifests)")
	flag.StringVar(&o.CgroupRoot, "cgroup-root", "/berth-kubelet", "cgroup sub-tree to make, and to remove afterwards")
	flag.DurationVar(&o.MaxBackOff, "max-back-off", 0, "longest back-off between restarts (default: kubelet's)")
	flag.IntVar(&o.Port, "port", 10255, "kubelet's read-only port on 127.0.0.1")
	drain := flag.Duration("drain", 0, "on the way out, remove all manifests and wait that long for their pods to end")
	flag.Parse()
	if o.Root == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if o.Manifests == "" {
		o.Manifests = filepath.Join(o.Root, "manifests")
	}
	dir, inside := standalone.Inside()
	if !inside {
		if err := os.MkdirAll(o.Root, 0o755); err != nil {
			fatal(err)
		}
		code, err := standalone.RunIsolated(standalone.Isolation{CgroupPath: o.CgroupRoot, Dir: o.Root})
		if err != nil {
			fatal(err)
		}
		os.Exit(code)
	}
	if err := standalone.EnterIsolation(dir, false); err != nil {
		fatal(err)
	}
	if err := serve(o, *drain); err != nil {
		fatal(err)
	}
}

func serve(o standalone.Options, drain time.Duration) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	kubelet, err := standalone.Start(o)
	if err != nil {
		return err
	}
	defer kubelet.Stop()
	fmt.Printf("ready http://127.0.0.1:%d/pods pid=%d log=%s\n", kubelet.Port, kubelet.Pid(), kubelet.LogFile)
	select {
	case <-signals:
	case <-kubelet.Ended():
		return fmt.Errorf("kubelet ended by itself; its log ends:\n%s", standalone.Tail(kubelet.LogFile, 40))
	}
	if drain == 0 {
		return nil
	}
	manifests, _ := filepath.Glob(filepath.Join(o.Manifests, "*"))
	for _, file := range manifests {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(drain); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if pods, err := kubelet.Pods(); err == nil && len(pods) == 0 {
			return nil
		}
		select {
		case <-kubelet.Ended():
			return fmt.Errorf("kubelet ended before its pods did")
		default:
		}
	}
	return fmt.Errorf("pods did not end within %v", drain)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "standalone-kubelet:", err)
	os.Exit(1)
}
