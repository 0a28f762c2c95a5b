// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"berth.example/e2e/kubelet/standalone"
)

// eater waits, so that there is a time to look at its cgroups, and then allocates (and touches) without end.
const eater = `
import time
print("ready", flush=True)
time.sleep(3)
hold = []
while True:
    hold.append(b"x" * (1 << 20))
`

var oomEvidence = regexp.MustCompile(
	`^out of memory: killed python3? \(host pid [0-9]+, rss [0-9.]+ MiB\) at the container limit of 50\.0 MiB`)

func limited(c v1.Container, memory, request string) v1.Container {
	c.Resources = v1.ResourceRequirements{
		Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse(memory)},
		Requests: v1.ResourceList{v1.ResourceMemory: resource.MustParse(request)}}
	return c
}

// memoryLimit reads the limit of a burstable pod's cgroup, or of a container's in it.
func (r *run) memoryLimit(pod, containerID string) (string, error) {
	memory, err := standalone.MemoryMount()
	if err != nil {
		return "", err
	}
	file := "memory.limit_in_bytes"
	if memory.Version == 2 {
		file = "memory.max"
	}
	return r.cgroupFile("burstable", pod, containerID, file)
}

// limitsAre waits until the limits of the pod and of its running containers are the expected ones.
func (r *run) limitsAre(t *testing.T, pod, podLimit string, containers map[string]string) {
	t.Helper()
	r.until(t, time.Minute, "memory limits of pod "+pod, func() string {
		// Both in one pass: the container's cgroup is there only while it runs.
		if got, err := r.memoryLimit(pod, ""); err != nil || got != podLimit {
			return fmt.Sprintf("the pod's is %q (%v), not %s", got, err, podLimit)
		}
		for name, want := range containers {
			running := r.observer.running(pod, name)
			if running == nil {
				return "container " + name + " does not run"
			}
			if got, err := r.memoryLimit(pod, running.Id); err != nil || got != want {
				return fmt.Sprintf("that of container %q is %q (%v), not %s", name, got, err, want)
			}
		}
		return ""
	})
}

func memoryLimits(t *testing.T, r *run) {
	sleep := []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"}
	r.put(t, newPod("two-limits", 2, limited(newContainer("large", "busybox", sleep...), "50Mi", "10Mi"),
		limited(newContainer("small", "busybox", sleep...), "30Mi", "10Mi")))
	r.limitsAre(t, "two-limits", "83886080", map[string]string{"large": "52428800", "small": "31457280"})
}

func oomLoop(t *testing.T, r *run) {
	const pod, name = "oom-example", "eater"
	r.put(t, newPod(pod, 2, limited(newContainer(name, "python", "python3", "-c", eater), "50Mi", "25Mi")))
	r.limitsAre(t, pod, "52428800", map[string]string{name: "52428800"})

	// kubelet 1.36 shows CrashLoopBackOff at some syncs only: it has to be seen once.
	const deaths = 5 // the first restart is at once; then 10, 20 and 40 s pass
	seenReason := false
	r.until(t, 5*time.Minute, "five OOM deaths of container eater", func() string {
		status := r.container(pod, name)
		if w := status.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
			seenReason = true
		}
		if n := len(r.observer.dead(pod, name)); n < deaths {
			return fmt.Sprintf("%d deaths so far", n)
		}
		return ""
	})
	if !seenReason {
		t.Error("the waiting reason CrashLoopBackOff was never in /pods")
	}
	dead := r.observer.dead(pod, name)[:deaths]
	for i, d := range dead {
		if d.Reason != "OOMKilled" || d.ExitCode != 137 {
			t.Errorf("death %d is %q with code %d, not OOMKilled with 137", i+1, d.Reason, d.ExitCode)
		}
		env.Promise(t, oomEvidence.MatchString(d.Message),
			"the message of death %d is %q, without the evidence", i+1, d.Message)
		if int(d.Metadata.Attempt) != i {
			t.Errorf("death %d is attempt %d", i+1, d.Metadata.Attempt)
		}
	}

	// What kubelet shows of it.
	status := r.container(pod, name)
	if status.RestartCount < 3 {
		t.Errorf("kubelet counts %d restarts after %d deaths", status.RestartCount, deaths)
	}
	if end := lastEnd(status); end == nil || end.Reason != "OOMKilled" || end.ExitCode != 137 {
		t.Errorf("kubelet shows as the last end: %+v", end)
	} else {
		env.Promise(t, oomEvidence.MatchString(end.Message),
			"kubelet shows the message %q, without the evidence", end.Message)
	}

	// kubelet's own words, in order.
	at := -1
	for _, step := range []string{"10s", "20s", "40s"} {
		words := "back-off " + step + " restarting failed container=" + name
		where := r.logHas(words, nodePod(pod))
		if where < 0 {
			t.Errorf("kubelet's log does not say %q", words)
		} else if where < at {
			t.Errorf("kubelet's log says %q too early", words)
		}
		at = where
	}

	// The gaps. kubelet never restarts before finishedAt plus back-off (doBackOff). It wakes at that moment,
	// but its pod worker stretches the remaining time by up to a half (workerBackOffPeriodJitterFactor 0.5) and
	// looks at its queue once a second; the rest is for making the container on a loaded machine.
	for i, backOff := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second} {
		gap := time.Duration(dead[i+1].StartedAt - dead[i].FinishedAt)
		t.Logf("death %d to the next start: %.2f s (back-off %v)", i+1, gap.Seconds(), backOff)
		if gap < backOff || gap > backOff*3/2+15*time.Second {
			t.Errorf("%v lie between death %d and the next start, with a back-off of %v", gap, i+1, backOff)
		}
	}
	r.remove(t, pod)
}
