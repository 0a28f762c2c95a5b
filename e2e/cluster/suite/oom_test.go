// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

var (
	// The section of one container in `kubectl describe pod`: it ends where a line is indented less.
	eaterSection = regexp.MustCompile(`(?m)^  eater:\n(?:    .*\n)+`)
	lastState    = regexp.MustCompile(`(?m)^    State: +Waiting\n +Reason: +CrashLoopBackOff\n(?: +.*\n)*?` +
		`    Last State: +Terminated\n +Reason: +OOMKilled\n(?: +Message: +(.*)\n)?(?: +.*\n)*? +Exit Code: +137\n`)
	evidence = regexp.MustCompile(
		`^out of memory: killed python3? \(host pid [0-9]+, rss [0-9.]+ MiB\) at the container limit of 50\.0 MiB; peak [0-9.]+ MiB`)
	childKilled = regexp.MustCompile(`^out of memory: killed child faults \(.*; the first process ended by itself with exit code 7$`)
)

func oomDescribed(t *testing.T) {
	s := newSpace(t, "oom")
	s.apply("oom")
	// kubelet 1.36 tells CrashLoopBackOff when it looks at a pod that waits, and of itself it sleeps until the wait is
	// over. A change of the pod makes it look.
	var said string
	looks := 0
	until(t, 3*time.Minute, "kubectl describe shows CrashLoopBackOff, and OOMKilled with 137 as the last state", func() string {
		looks++
		s.kubectl("annotate", "--overwrite", "pod", "oom", fmt.Sprintf("berth.example/look=%d", looks))
		said = eaterSection.FindString(s.kubectl("describe", "pod", "oom"))
		if lastState.MatchString(said) {
			return ""
		}
		return said
	})
	message := lastState.FindStringSubmatch(said)[1]
	env.Promise(t, evidence.MatchString(message), "kubectl describe shows the message %q, without the evidence", message)
	t.Logf("kubectl describe says:\n%s", said)

	pod := s.waitPod("oom", "was restarted twice", 2*time.Minute, func(pod *v1.Pod) string {
		if n := containerStatus(pod, "eater").RestartCount; n < 2 {
			return fmt.Sprintf("%d restarts", n)
		}
		return ""
	})
	if c := containerStatus(pod, "bystander"); c.RestartCount != 0 || c.State.Running == nil {
		t.Errorf("the container beside it is %+v", c)
	}
	event := s.event("oom", "BackOff", "Back-off restarting failed container eater in pod oom_oom", time.Minute)
	if event.Type != v1.EventTypeWarning {
		t.Errorf("the event of the back-off is of type %s", event.Type)
	}
	// The eater goes on dying, and kubelet removes the record of a death when there is a newer one.
	until(t, time.Minute, "kubectl logs --previous shows the words before the death", func() string {
		if got, err := s.try("logs", "oom", "-c", "eater", "--previous"); err != nil || got != "about to eat\n" {
			return fmt.Sprintf("it says %q (%v)", got, err)
		}
		return ""
	})
	if out := s.kubectl("get", "pod", "oom", "--no-headers"); !regexp.MustCompile(`OOMKilled|CrashLoopBackOff|Running`).MatchString(out) {
		t.Errorf("kubectl get says %q", out)
	}
}

func oomChild(t *testing.T) {
	s := newSpace(t, "oom-child")
	s.apply("oom-child")
	pod := s.waitPod("parent", "fails", time.Minute, phase(v1.PodFailed))
	end := containerStatus(pod, "main").State.Terminated
	if end == nil || end.ExitCode != 7 {
		t.Fatalf("a process that ends with 7 after its child was killed ended with %+v", end)
	}
	env.Promise(t, end.Reason == "Error" && childKilled.MatchString(end.Message),
		"it ended with reason %q and message %q", end.Reason, end.Message)
}
