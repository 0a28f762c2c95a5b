// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// started waits until the container runs and its log has the words, and returns its status and the open log:
// kubelet unlinks the file with the pod, what is written until then can still be read.
func (r *run) started(t *testing.T, pod, container, words string) (*cri.ContainerStatus, *os.File) {
	t.Helper()
	var status *cri.ContainerStatus
	r.until(t, time.Minute, fmt.Sprintf("container %q of pod %q runs and logs %q", container, pod, words), func() string {
		if status = r.observer.running(pod, container); status == nil {
			return "it does not run"
		}
		text, err := os.ReadFile(status.LogPath)
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(string(text), words) {
			return "its log is: " + string(text)
		}
		return ""
	})
	log, err := os.Open(status.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return status, log
}

// endOf waits for the end of the container with that id.
func (r *run) endOf(t *testing.T, pod, container, id string) *cri.ContainerStatus {
	t.Helper()
	var end *cri.ContainerStatus
	r.until(t, time.Minute, fmt.Sprintf("container %q of pod %q ends", container, pod), func() string {
		for _, d := range r.observer.dead(pod, container) {
			if d.Id == id {
				end = d
				return ""
			}
		}
		return "it has no end yet"
	})
	return end
}

func nginxStops(t *testing.T, r *run) {
	const pod, name, grace = "web", "nginx", 60
	c := newContainer(name, "nginx") // the image's own command
	r.put(t, newPod(pod, grace, c))
	running, log := r.started(t, pod, name, "start worker process")
	asked := time.Now()
	r.remove(t, pod)
	end := r.endOf(t, pod, name, running.Id)
	if end.ExitCode != 0 || end.Reason != "Completed" {
		t.Errorf("nginx ended with %d, %q (%q)", end.ExitCode, end.Reason, end.Message)
	}
	if took := time.Unix(0, end.FinishedAt).Sub(asked); took > grace*time.Second {
		t.Errorf("nginx took %v: it was not the stop signal that ended it", took)
	}
	text, err := io.ReadAll(log)
	if err != nil || !strings.Contains(string(text), "signal 3 (SIGQUIT) received") {
		t.Errorf("nginx did not get SIGQUIT, which its image names (%v); its log:\n%s", err, text)
	}
}

func stopIgnored(t *testing.T, r *run) {
	const pod, name = "stubborn", "shell"
	r.put(t, newPod(pod, 2,
		newContainer(name, "busybox", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")))
	running, _ := r.started(t, pod, name, "ready")
	r.remove(t, pod)
	end := r.endOf(t, pod, name, running.Id)
	if end.ExitCode != 137 || end.Reason != "Error" {
		t.Errorf("it ended with %d, %q", end.ExitCode, end.Reason)
	}
	env.Promise(t, strings.Contains(end.Message, "stopped by request, killed after 2 s grace"),
		"the message of the kill is %q", end.Message)
	r.until(t, time.Minute, "kubelet forgets the pod", func() string {
		if r.pod(pod) != nil {
			return "it is in /pods"
		}
		return ""
	})
}
