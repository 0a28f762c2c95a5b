// SPDX-License-Identifier: Apache-2.0

// Package suite runs a whole cluster of one node (etcd, API server, controllers, scheduler, kubelet) on a CRI runtime
// and does with kubectl what people do with a cluster. Run as root, by e2e/cluster/run. As in the suite of kubelet
// alone, what only berth promises is printed for other runtimes and fails nothing.
package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"berth.example/e2e/cluster/controlplane"
	"berth.example/e2e/harness"
	"berth.example/e2e/kubelet/standalone"
)

// env is what this run has of its own; the rest is the cluster in it.
var (
	env     *harness.Env
	control *controlplane.ControlPlane
	kubelet *standalone.Kubelet
	api     *kubernetes.Clientset
	before  harness.Leftovers // what was there before the first pod
)

// dnsServer is nobody: it only has to arrive in resolv.conf.
const dnsServer = "10.0.0.10"

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Suite{
		Name:   "cluster",
		Images: []string{"busybox", "python", "nginx", "faults"},
		Start:  startCluster,
	}))
}

func startCluster(e *harness.Env) (func(), error) {
	env = e
	var err error
	control, err = controlplane.Start(controlplane.Options{Bin: e.Bin, Dir: filepath.Join(e.Dir, "control"),
		Address: standalone.NodeAddress()})
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", control.Kubeconfig)
	if err == nil {
		config.QPS, config.Burst = 200, 400
		api, err = kubernetes.NewForConfig(config)
	}
	if err != nil {
		control.Stop()
		return nil, err
	}
	before = e.FindLeftovers(nil)
	root := filepath.Join(e.Dir, "kubelet-node")
	kubelet, err = standalone.Start(standalone.Options{Binary: filepath.Join(e.Bin, "kubelet"),
		Endpoint: e.Runtime.Endpoint, Root: root, Manifests: filepath.Join(root, "manifests"), CgroupRoot: e.Group.Path,
		Kubeconfig: control.Kubeconfig, Settings: map[string]any{
			"address":    "0.0.0.0", // the API server asks it for logs at the node's address
			"clusterDNS": []string{dnsServer}, "clusterDomain": "cluster.local",
			// Three seconds is the shortest that kubelet takes. Files enough that none is dropped within a test.
			"containerLogMaxSize": "64Ki", "containerLogMaxFiles": 50, "containerLogMonitorInterval": "3s",
		}})
	if err != nil {
		control.Stop()
		return nil, fmt.Errorf("%w\nthe runtime's log ends:\n%s", err, standalone.Tail(e.Runtime.Log, 40))
	}
	return func() { kubelet.Stop(); control.Stop() }, nil
}

// TestCluster is one cluster with everything side by side, each in a namespace of its own.
func TestCluster(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kubelet's log (%s) ends:\n%s", kubelet.LogFile, standalone.Tail(kubelet.LogFile, 60))
			t.Logf("the runtime's log (%s) ends:\n%s", env.Runtime.Log, standalone.Tail(env.Runtime.Log, 60))
		}
	})
	if !t.Run("the node is ready and names its runtime", nodeReady) {
		return
	}
	t.Run("workloads", func(t *testing.T) {
		for _, c := range []struct {
			name  string
			check func(*testing.T)
		}{
			{"a Deployment with probes rolls out, rolls on, and rolls back from one that never gets ready", deployment},
			{"Jobs complete, fail by the exit code, and retry in place", jobs},
			{"init containers run in order, a sidecar starts before and ends after the others", sidecar},
			{"a failed init container is told, and keeps the others from running", initFails},
			{"an emptyDir in memory, ConfigMap, Secret, token and DNS settings are in the container", volumes},
			{"a RuntimeClass chooses the handler, and an unknown handler is named in the events", runtimeClass},
			{"kubectl describe tells an OOM kill, its evidence and the back-off", oomDescribed},
			{"a killed child is no OOMKilled, but told", oomChild},
			{"logs are whole across rotations, followed and read by kubectl", logRotation},
			{"logs of long lines, of the previous container, by time and by tail", logReading},
			{"resources of a running pod are resized in place", resize},
			{"a pod that ignores its signal is killed after its grace, and a forced deletion is quick", deletion},
			{"an ephemeral container sees the processes of its target", debugs},
			{"kubectl exec: output, input, exit codes and a terminal", execs},
			{"kubectl cp there and back", copies},
			{"kubectl attach gives a container its input", attaches},
			{"kubectl port-forward, several connections at once", forwards},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.check(t)
			})
		}
	})
	t.Run("deletion leaves nothing", nothingLeft)
}

// nothingLeft waits until everything that was not there before the pods is gone. kubelet collects dead sandboxes once
// a minute, so that is what it takes.
func nothingLeft(t *testing.T) {
	known := map[int]bool{os.Getpid(): true, kubelet.Pid(): true, env.Runtime.Pid(): true}
	for _, pid := range control.Pids() {
		known[pid] = true
	}
	until(t, 4*time.Minute, "nothing is left of the pods", func() string {
		return joined(before.Since(env.FindLeftovers(known)))
	})
}
