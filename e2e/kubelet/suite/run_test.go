// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"berth.example/e2e/harness"
	"berth.example/e2e/kubelet/standalone"
)

// run is one kubelet on the runtime under test.
type run struct {
	*standalone.Kubelet
	observer *observer
	before   harness.Leftovers // what was there before the first pod
}

// startRun starts a kubelet; the test's end stops it and, after a failure, shows the ends of the logs.
func startRun(t *testing.T, maxBackOff time.Duration) *run {
	t.Helper()
	settings := standalone.ReadSysctls()
	before := env.FindLeftovers(nil)
	root := filepath.Join(env.Dir, "kubelet-"+t.Name())
	kubelet, err := standalone.Start(standalone.Options{Binary: filepath.Join(env.Bin, "kubelet"), Endpoint: target.Endpoint, Root: root,
		Manifests: filepath.Join(root, "manifests"), CgroupRoot: env.Group.Path, MaxBackOff: maxBackOff})
	if err != nil {
		t.Fatalf("%v\nthe runtime's log ends:\n%s", err, standalone.Tail(target.Log, 40))
	}
	r := &run{Kubelet: kubelet, observer: newObserver(), before: before}
	t.Cleanup(func() {
		r.observer.stop()
		r.Stop()
		// Put back, and compared, by the parent of this process.
		for _, line := range settings.Difference(standalone.ReadSysctls()) {
			t.Logf("kubelet changed a kernel setting: %s", line)
		}
		if t.Failed() {
			t.Logf("kubelet's log (%s) ends:\n%s", r.LogFile, standalone.Tail(r.LogFile, 80))
			if target.Log != "" {
				t.Logf("the runtime's log (%s) ends:\n%s", target.Log, standalone.Tail(target.Log, 80))
			}
		}
	})
	return r
}

// until polls until probe returns "" (fulfilled); what it returns else says what is missing. A test that
// waits in vain fails with the last such text.
func (r *run) until(t *testing.T, limit time.Duration, what string, probe func() string) {
	t.Helper()
	missing := ""
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if missing = probe(); missing == "" {
			return
		}
		select {
		case <-r.Ended():
			t.Fatalf("kubelet ended while the test waited for: %s", what)
		case <-target.Ended():
			t.Fatalf("the runtime ended while the test waited for: %s", what)
		default:
		}
	}
	t.Fatalf("not within %v: %s; at the end: %s", limit, what, missing)
}

// nodePod is the name that kubelet gives a static pod.
func nodePod(name string) string { return name + "-" + standalone.NodeName }

// newPod is a static pod of the default namespace. No token is mounted: that would be a tmpfs that only
// kubelet's mount namespace has.
func newPod(name string, grace int64, containers ...v1.Container) *v1.Pod {
	no := false
	pod := &v1.Pod{}
	pod.APIVersion, pod.Kind = "v1", "Pod"
	pod.Name, pod.Namespace = name, "default"
	pod.Spec = v1.PodSpec{Containers: containers, TerminationGracePeriodSeconds: &grace,
		AutomountServiceAccountToken: &no, EnableServiceLinks: &no, RestartPolicy: v1.RestartPolicyAlways}
	return pod
}

// newContainer runs a command in one of the images of e2e/images.
func newContainer(name, image string, command ...string) v1.Container {
	return v1.Container{Name: name, Image: "test.invalid/" + image + ":1", Command: command,
		ImagePullPolicy: v1.PullNever}
}

func (r *run) put(t *testing.T, pod *v1.Pod) {
	t.Helper()
	if err := r.Put(pod); err != nil {
		t.Fatal(err)
	}
}

func (r *run) remove(t *testing.T, name string) {
	t.Helper()
	if err := r.Delete(name); err != nil {
		t.Fatal(err)
	}
}

// pod is what kubelet's /pods says of a pod, or nil.
func (r *run) pod(name string) *v1.Pod {
	pods, err := r.Pods()
	if err != nil {
		return nil
	}
	for i := range pods {
		if pods[i].Name == nodePod(name) {
			return &pods[i]
		}
	}
	return nil
}

// container is what kubelet's /pods says of a container; empty when nothing.
func (r *run) container(pod, container string) v1.ContainerStatus {
	if p := r.pod(pod); p != nil {
		for _, status := range p.Status.ContainerStatuses {
			if status.Name == container {
				return status
			}
		}
	}
	return v1.ContainerStatus{}
}

// cgroupFile reads a file of a pod's memory cgroup (the class is its QoS folder), or of a container's in it.
func (r *run) cgroupFile(class, pod, containerID, file string) (string, error) {
	p := r.pod(pod)
	if p == nil {
		return "", fmt.Errorf("kubelet does not know pod %q", pod)
	}
	memory, err := standalone.MemoryMount()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(memory.Mount, env.Group.Path, "kubepods", class, "pod"+string(p.UID), containerID)
	text, err := os.ReadFile(filepath.Join(dir, file))
	return strings.TrimSpace(string(text)), err
}

// lastEnd is the newest end of a container that kubelet shows, or nil.
func lastEnd(status v1.ContainerStatus) *v1.ContainerStateTerminated {
	if status.State.Terminated != nil {
		return status.State.Terminated
	}
	return status.LastTerminationState.Terminated
}

// logHas tells where in kubelet's log all the words first stand in one line: a byte offset, or -1.
func (r *run) logHas(words ...string) int {
	text, err := os.ReadFile(r.LogFile)
	if err != nil {
		return -1
	}
	offset := 0
lines:
	for _, line := range strings.SplitAfter(string(text), "\n") {
		offset += len(line)
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		return offset - len(line)
	}
	return -1
}

// nothingLeft removes all manifests and waits until everything that was not there before the pods is gone.
// kubelet collects dead sandboxes once a minute, so that is what it takes.
func (r *run) nothingLeft(t *testing.T) {
	manifests, _ := filepath.Glob(filepath.Join(r.Manifests, "*.json"))
	for _, file := range manifests {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
	known := map[int]bool{os.Getpid(): true, r.Pid(): true, target.Pid(): true}
	r.until(t, 4*time.Minute, "nothing is left of the pods", func() string {
		return strings.Join(r.before.Since(env.FindLeftovers(known)), "\n  ")
	})
}
