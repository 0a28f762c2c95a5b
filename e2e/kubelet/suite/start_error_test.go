// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"testing"
	"time"
)

// failsToStart puts a pod whose command cannot be started and checks `deaths` attempts of it.
func (r *run) failsToStart(t *testing.T, pod, command string, wantCode int32, deaths int) {
	t.Helper()
	const name = "main"
	before := time.Now()
	r.put(t, newPod(pod, 2, newContainer(name, "busybox", command)))
	r.until(t, 3*time.Minute, fmt.Sprintf("%d failed starts of pod %q", deaths, pod), func() string {
		if n := len(r.observer.dead(pod, name)); n < deaths {
			return fmt.Sprintf("%d so far", n)
		}
		return ""
	})
	for i, d := range r.observer.dead(pod, name)[:deaths] {
		if d.Reason != "StartError" {
			t.Errorf("the reason of attempt %d is %q", i, d.Reason)
		}
		env.Promise(t, d.ExitCode == wantCode, "the exit code of attempt %d is %d, not %d", i, d.ExitCode, wantCode)
		if d.ExitCode == 0 {
			t.Errorf("attempt %d failed to start with exit code 0", i)
		}
		// kubelet computes no back-off without it.
		if finished := time.Unix(0, d.FinishedAt); finished.Before(before) || finished.After(time.Now()) {
			t.Errorf("attempt %d finished at %v", i, finished)
		}
		env.Promise(t, d.StartedAt <= d.FinishedAt,
			"attempt %d started at %d after it finished at %d", i, d.StartedAt, d.FinishedAt)
	}
	// Create succeeded, Start failed: kubelet's word for that is RunContainerError.
	if r.logHas("RunContainerError", nodePod(pod)) < 0 {
		t.Error("kubelet's log has no RunContainerError of the pod")
	}
	if r.logHas("CreateContainerError", nodePod(pod)) >= 0 {
		t.Error("kubelet's log has a CreateContainerError: it was not Start that failed")
	}
	r.until(t, time.Minute, "kubelet shows how the last start failed", func() string {
		end := lastEnd(r.container(pod, name))
		if end == nil || end.Reason != "StartError" || end.FinishedAt.IsZero() {
			return fmt.Sprintf("it shows %+v", end)
		}
		return ""
	})
}

func commandMissing(t *testing.T, r *run) {
	const pod = "no-such-command"
	r.failsToStart(t, pod, "/no/such/program", 127, 4)
	first := r.logHas("back-off 10s restarting failed container=main", nodePod(pod))
	second := r.logHas("back-off 20s restarting failed container=main", nodePod(pod))
	if first < 0 || second < first {
		t.Errorf("kubelet's log has no back-off that grows (10s at byte %d, 20s at byte %d)", first, second)
	}
	dead := r.observer.dead(pod, "main")
	for i, backOff := range []time.Duration{0, 10 * time.Second, 20 * time.Second} {
		if gap := time.Duration(dead[i+1].CreatedAt - dead[i].FinishedAt); gap < backOff {
			t.Errorf("only %v lie between failed start %d and the next attempt", gap, i+1)
		}
	}
	r.remove(t, pod)
}

func notExecutable(t *testing.T, r *run) {
	r.failsToStart(t, "not-executable", "/etc/passwd", 126, 2)
}
