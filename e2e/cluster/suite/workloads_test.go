// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const rollout = "--timeout=3m"

func deployment(t *testing.T) {
	s := newSpace(t, "deployment")
	s.apply("deployment")
	s.kubectl("rollout", "status", "deployment/web", rollout)
	first := map[string]bool{}
	for _, pod := range s.pods("web") {
		first[pod.Name] = true
		if c := containerStatus(&pod, "nginx"); !c.Ready || c.Started == nil || !*c.Started || c.RestartCount != 0 {
			t.Errorf("after the roll-out container nginx of pod %q is %+v", pod.Name, c)
		}
	}
	if len(first) != 2 {
		t.Fatalf("%d pods after the roll-out, not 2", len(first))
	}

	s.kubectl("set", "env", "deployment/web", "ROUND=2")
	s.kubectl("rollout", "status", "deployment/web", rollout)
	until(t, time.Minute, "the pods of the first round are gone", func() string {
		pods := s.pods("web")
		for _, pod := range pods {
			if first[pod.Name] {
				return "there is " + pod.Name
			}
		}
		if len(pods) != 2 {
			return fmt.Sprintf("%d pods", len(pods))
		}
		return ""
	})

	// A round that never gets ready: its pod runs, the readiness probe says why not, the old ones stay.
	s.kubectl("patch", "deployment", "web", "--type=json", "--patch",
		`[{"op": "replace", "path": "/spec/template/spec/containers/0/readinessProbe/httpGet/path", "value": "/missing"}]`)
	var stuck string
	until(t, time.Minute, "a third pod runs without being ready", func() string {
		for _, pod := range s.pods("web") {
			c := containerStatus(&pod, "nginx")
			if pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Path == "/missing" && c.Started != nil && *c.Started && !c.Ready {
				stuck = pod.Name
				return ""
			}
		}
		return "none does"
	})
	s.event(stuck, "Unhealthy", "HTTP probe failed with statuscode: 404", time.Minute)
	web, err := api.AppsV1().Deployments(s.name).Get(t.Context(), "web", meta.GetOptions{})
	if err != nil || web.Status.AvailableReplicas != 2 {
		t.Errorf("%d replicas are available while the third round is stuck, not 2 (%v)", web.Status.AvailableReplicas, err)
	}
	s.kubectl("rollout", "undo", "deployment/web")
	s.kubectl("rollout", "status", "deployment/web", rollout)
	s.gone(stuck, time.Minute)

	// A pod that is deleted is replaced; one more is one more.
	victim := s.pods("web")[0].Name
	s.kubectl("delete", "pod", victim, "--wait=true")
	s.kubectl("scale", "deployment/web", "--replicas=3")
	s.kubectl("rollout", "status", "deployment/web", rollout)
	for _, pod := range s.pods("web") {
		if pod.Name == victim {
			t.Errorf("pod %q is there again", victim)
		}
		if n := containerStatus(&pod, "nginx").RestartCount; n != 0 {
			t.Errorf("pod %q was restarted %d times", pod.Name, n)
		}
	}
}

// finished waits for a condition of the job and returns that.
func (s *space) finished(name string, want batch.JobConditionType) (*batch.Job, batch.JobCondition) {
	s.t.Helper()
	var job *batch.Job
	var found batch.JobCondition
	until(s.t, 2*time.Minute, fmt.Sprintf("job %q is %s", name, want), func() string {
		var err error
		if job, err = api.BatchV1().Jobs(s.name).Get(s.t.Context(), name, meta.GetOptions{}); err != nil {
			return err.Error()
		}
		for _, c := range job.Status.Conditions {
			if c.Type == want && c.Status == v1.ConditionTrue {
				found = c
				return ""
			}
		}
		return fmt.Sprintf("it is %+v", job.Status)
	})
	return job, found
}

func jobs(t *testing.T) {
	s := newSpace(t, "jobs")
	s.apply("jobs")
	if job, _ := s.finished("counts", batch.JobComplete); job.Status.Succeeded != 3 || job.Status.Failed != 0 {
		t.Errorf("of 3 completions %d succeeded and %d failed", job.Status.Succeeded, job.Status.Failed)
	}
	for i, pod := range s.pods("counts") {
		index := pod.Annotations[batch.JobCompletionIndexAnnotation]
		if got := s.kubectl("logs", pod.Name); got != "done "+index+"\n" {
			t.Errorf("pod %d of the job, with index %s, logs %q", i, index, got)
		}
	}
	if _, failed := s.finished("fails", batch.JobFailed); failed.Reason != batch.JobReasonPodFailurePolicy ||
		!strings.Contains(failed.Message, "exit code 42") {
		t.Errorf("the job that exits with 42 failed with %q, %q", failed.Reason, failed.Message)
	}
	s.finished("retries", batch.JobComplete)
	pods := s.pods("retries")
	if len(pods) != 1 {
		t.Fatalf("the job that retries in place has %d pods", len(pods))
	}
	c := containerStatus(&pods[0], "main")
	if last := c.LastTerminationState.Terminated; c.RestartCount != 1 || last == nil || last.ExitCode != 3 || last.Reason != "Error" {
		t.Errorf("the second attempt is %+v", c)
	}
}

func sidecar(t *testing.T) {
	s := newSpace(t, "sidecar")
	s.apply("sidecar")
	pod := s.waitPod("sequence", "succeeds", 2*time.Minute, phase(v1.PodSucceeded))
	if got := s.kubectl("logs", "sequence", "-c", "main"); got != "first\nsidecar\nsecond\nmain\n" {
		t.Errorf("the order was %q", got)
	}
	if got := s.kubectl("logs", "sequence", "-c", "sidecar"); got != "sidecar stopped\n" {
		t.Errorf("the sidecar's log is %q: it did not get its signal", got)
	}
	ends := map[string]*v1.ContainerStateTerminated{}
	for _, name := range []string{"first", "sidecar", "second", "main"} {
		c := containerStatus(pod, name)
		if ends[name] = c.State.Terminated; ends[name] == nil {
			t.Fatalf("container %q of the pod that succeeded is %+v", name, c)
		}
		if ends[name].ExitCode != 0 || ends[name].Reason != "Completed" || c.RestartCount != 0 {
			t.Errorf("container %q ended with %+v after %d restarts", name, ends[name], c.RestartCount)
		}
	}
	if ends["sidecar"].FinishedAt.Before(&ends["main"].FinishedAt) {
		t.Errorf("the sidecar ended at %v, before main at %v", ends["sidecar"].FinishedAt, ends["main"].FinishedAt)
	}
	if ends["second"].StartedAt.Before(&ends["first"].FinishedAt) {
		t.Errorf("second started at %v, before first ended at %v", ends["second"].StartedAt, ends["first"].FinishedAt)
	}
}

func initFails(t *testing.T) {
	s := newSpace(t, "init-fails")
	s.apply("init-fails")
	pod := s.waitPod("never-main", "fails", time.Minute, phase(v1.PodFailed))
	if end := containerStatus(pod, "breaks").State.Terminated; end == nil || end.ExitCode != 3 || end.Reason != "Error" ||
		end.Message != "cannot prepare\n" {
		t.Errorf("the init container ended with %+v", end)
	}
	if c := containerStatus(pod, "main"); c.State.Waiting == nil || c.State.Waiting.Reason != "PodInitializing" || c.ContainerID != "" {
		t.Errorf("the container after the failed one is %+v", c)
	}
	if out := s.kubectl("get", "pod", "never-main", "--no-headers"); !strings.Contains(out, "Init:Error") {
		t.Errorf("kubectl get says %q", out)
	}
}

func deletion(t *testing.T) {
	s := newSpace(t, "deletion")
	s.apply("deletion")
	pods := map[string]*v1.Pod{}
	for _, name := range []string{"stubborn", "forced"} {
		pods[name] = s.waitPod(name, "is ready", time.Minute, ready)
		until(t, time.Minute, "the trap of "+name+" is set", func() string {
			if out, err := s.try("logs", name); err != nil || !strings.HasPrefix(out, "ready\n") {
				return fmt.Sprintf("its log is %q (%v)", out, err)
			}
			return ""
		})
	}
	// kubelet unlinks the file with the pod; what is written until then can still be read.
	paths, _ := filepath.Glob(filepath.Join(logDir(pods["stubborn"], "main"), "0.log"))
	if len(paths) != 1 {
		t.Fatalf("the log files of pod stubborn are %q", paths)
	}
	log, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.kubectl("delete", "pod", "forced", "--grace-period=0", "--force")
	s.gone("forced", time.Minute)
	s.kubectl("delete", "pod", "stubborn", "--wait=true", "--timeout=1m")
	text, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	// Every record begins with its time: from the first after the signal to the last alive.
	var asked, last time.Time
	for line := range strings.Lines(string(text)) {
		stamp, words, _ := strings.Cut(line, " ")
		if last, err = time.Parse(time.RFC3339Nano, stamp); err != nil {
			t.Fatalf("line %q of the log: %v", line, err)
		}
		if strings.Contains(words, "asked") {
			asked = last
		}
	}
	if asked.IsZero() {
		t.Errorf("the pod was never asked to end; its log ends %q", text[max(0, len(text)-200):])
	} else if lived := last.Sub(asked); lived < 2*time.Second {
		t.Errorf("the pod that ignores its signal lived on for %v of its grace of 3 s", lived)
	}
}
