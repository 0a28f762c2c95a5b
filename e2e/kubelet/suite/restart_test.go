// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// quiet ends on SIGTERM; what it does before is put in front.
const quiet = "trap 'exit 0' TERM; while :; do sleep 1; done"

func execIn(t *testing.T, id string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := target.Client.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 30})
	if err != nil {
		t.Fatalf("%v in the container: %v", command, err)
	}
	return fmt.Sprintf("%d %s%s", reply.ExitCode, reply.Stdout, reply.Stderr)
}

// processes lists the host pids of a running best-effort container, by its own cgroup.
func (r *run) processes(pod, id string) ([]int, error) {
	text, err := r.cgroupFile("besteffort", pod, id, "cgroup.procs")
	var pids []int
	for _, field := range strings.Fields(text) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// nextOf waits for a running container of that name other than the one with that id.
func (r *run) nextOf(t *testing.T, pod, container, id string) *cri.ContainerStatus {
	t.Helper()
	var next *cri.ContainerStatus
	r.until(t, time.Minute, fmt.Sprintf("another container %q of pod %q runs", container, pod), func() string {
		if next = r.observer.running(pod, container); next == nil || next.Id == id {
			return "it does not"
		}
		return ""
	})
	return next
}

func killedFromOutside(t *testing.T, r *run) {
	const pod, name = "ruined", "main"
	c := newContainer(name, "busybox", "sh", "-c", "echo started >>/scratch/starts; echo ready; exec sleep 100000")
	c.VolumeMounts = []v1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
	p := newPod(pod, 2, c)
	p.Spec.Volumes = []v1.Volume{{Name: "scratch",
		VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	r.put(t, p)
	first, _ := r.started(t, pod, name, "ready")

	const look = "ls -l /etc/passwd /etc/group /usr/bin/faults /added 2>&1; cat /etc/passwd"
	intact := execIn(t, first.Id, "sh", "-c", look)
	if !strings.Contains(intact, "root:") || !strings.Contains(intact, "/added: No such file") {
		t.Fatalf("not the root filesystem that the test expects: %s", intact)
	}
	execIn(t, first.Id, "sh", "-c", "rm -rf /etc/group /usr/bin/faults; echo ruined >/etc/passwd; echo more >/added")
	if ruined := execIn(t, first.Id, "sh", "-c", look); ruined == intact || !strings.Contains(ruined, "ruined") {
		t.Fatalf("the root filesystem could not be ruined: %s", ruined)
	}

	var pids []int
	r.until(t, 10*time.Second, "the container is one process", func() string {
		var err error
		if pids, err = r.processes(pod, first.Id); err != nil || len(pids) != 1 {
			return fmt.Sprintf("processes %v, %v", pids, err)
		}
		return ""
	})
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end := r.endOf(t, pod, name, first.Id)
	if end.ExitCode != 137 || end.Reason != "Error" {
		t.Errorf("killed from outside, it ended with %d, %q", end.ExitCode, end.Reason)
	}
	second := r.nextOf(t, pod, name, first.Id)
	if second.Metadata.Attempt != 1 {
		t.Errorf("the new container is attempt %d", second.Metadata.Attempt)
	}
	if again := execIn(t, second.Id, "sh", "-c", look); again != intact {
		t.Errorf("the new container's root filesystem is not that of the image:\n%s\nbut:\n%s", intact, again)
	}
	// The volume is the pod's and stays.
	if starts := execIn(t, second.Id, "cat", "/scratch/starts"); starts != "0 started\nstarted\n" {
		t.Errorf("the emptyDir volume has %q", starts)
	}
}

func probe(seconds int32, command ...string) *v1.Probe {
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: command}}, PeriodSeconds: 1,
		TimeoutSeconds: seconds, FailureThreshold: 3, SuccessThreshold: 1}
}

func livenessFails(t *testing.T, r *run) {
	const pod, name = "sick", "main"
	c := newContainer(name, "busybox", "sh", "-c", "touch /tmp/healthy; echo ready; "+quiet)
	c.LivenessProbe = probe(10, "test", "-e", "/tmp/healthy")
	r.put(t, newPod(pod, 5, c))
	first, _ := r.started(t, pod, name, "ready")
	// It must live while the probe succeeds: five probe periods say that it does.
	time.Sleep(5 * time.Second)
	if n := len(r.observer.of(pod, name)); n != 1 {
		t.Fatalf("there are %d containers though the probe succeeds", n)
	}
	execIn(t, first.Id, "rm", "/tmp/healthy")
	end := r.endOf(t, pod, name, first.Id)
	if end.ExitCode != 0 || end.Reason != "Completed" {
		t.Errorf("stopped for its probe, it ended with %d, %q (%q)", end.ExitCode, end.Reason, end.Message)
	}
	if next := r.nextOf(t, pod, name, first.Id); next.Metadata.Attempt != 1 {
		t.Errorf("the new container is attempt %d", next.Metadata.Attempt)
	}
	if r.logHas("Probe failed", "Liveness", nodePod(pod)) < 0 {
		t.Error("kubelet's log has no failed liveness probe of the pod")
	}
}

// livenessHangs: only DEADLINE_EXCEEDED makes a probe that outlives its time a failure for kubelet.
func livenessHangs(t *testing.T, r *run) {
	const pod, name = "hanging", "main"
	c := newContainer(name, "busybox", "sh", "-c", "echo ready; "+quiet)
	c.LivenessProbe = probe(1, "sleep", "1000")
	r.put(t, newPod(pod, 5, c))
	first, _ := r.started(t, pod, name, "ready")
	r.endOf(t, pod, name, first.Id)
	r.nextOf(t, pod, name, first.Id)
}

func terminationMessage(t *testing.T, r *run) {
	const pod = "last-words"
	file := newContainer("file", "busybox", "sh", "-c", "echo from the file >/dev/termination-log; exit 3")
	log := newContainer("log", "busybox", "sh", "-c", "echo from the log; exit 4")
	log.TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	r.put(t, newPod(pod, 2, file, log))
	for name, want := range map[string]struct {
		code  int32
		words string
	}{"file": {3, "from the file"}, "log": {4, "from the log"}} {
		r.until(t, time.Minute, "the last words of container "+name, func() string {
			end := lastEnd(r.container(pod, name))
			if end == nil || end.ExitCode != want.code || end.Reason != "Error" ||
				!strings.Contains(end.Message, want.words) {
				return fmt.Sprintf("kubelet shows %+v", end)
			}
			return ""
		})
	}
	r.remove(t, pod)
}

func exitCodes(t *testing.T, r *run) {
	const pod = "codes"
	codes := []int32{0, 1, 42, 143, 255}
	var containers []v1.Container
	for _, code := range codes {
		containers = append(containers,
			newContainer(fmt.Sprint("exit", code), "busybox", "sh", "-c", fmt.Sprint("exit ", code)))
	}
	r.put(t, newPod(pod, 2, containers...))
	for _, code := range codes {
		name := fmt.Sprint("exit", code)
		r.until(t, 2*time.Minute, "three ends of container "+name, func() string {
			if n := len(r.observer.dead(pod, name)); n < 3 {
				return fmt.Sprintf("%d so far", n)
			}
			return ""
		})
		reason := "Error"
		if code == 0 {
			reason = "Completed"
		}
		dead := r.observer.dead(pod, name)
		for i, d := range dead[:3] {
			if d.ExitCode != code || d.Reason != reason {
				t.Errorf("end %d of container %s is %d, %q", i+1, name, d.ExitCode, d.Reason)
			}
			env.Promise(t, d.CreatedAt <= d.StartedAt && d.StartedAt <= d.FinishedAt,
				"end %d of container %s: created %d, started %d, finished %d", i+1, name,
				d.CreatedAt, d.StartedAt, d.FinishedAt)
		}
		if gap := time.Duration(dead[2].StartedAt - dead[1].FinishedAt); gap < 5*time.Second {
			t.Errorf("only %v lie before the second restart of container %s", gap, name)
		}
	}
	r.remove(t, pod)
}
