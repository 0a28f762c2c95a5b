// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the tests apply.
//
//go:embed manifests
var manifests embed.FS

// until polls until probe returns "" (fulfilled); what it returns else says what is missing. A test that waits in
// vain fails with the last such text.
func until(t *testing.T, limit time.Duration, what string, probe func() string) {
	t.Helper()
	missing := ""
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if missing = probe(); missing == "" {
			return
		}
		select {
		case <-kubelet.Ended():
			t.Fatalf("kubelet ended while the test waited for: %s", what)
		case <-env.Runtime.Ended():
			t.Fatalf("the runtime ended while the test waited for: %s", what)
		default:
		}
		if ended := control.Ended(); ended != "" {
			t.Fatalf("%s ended while the test waited for: %s", ended, what)
		}
	}
	t.Fatalf("not within %v: %s; at the end: %s", limit, what, missing)
}

func joined(lines []string) string {
	sort.Strings(lines)
	return strings.Join(lines, "\n  ")
}

// space is a namespace of one test.
type space struct {
	t    *testing.T
	name string
}

// newSpace makes the namespace and waits for its service account, without which no pod is taken. The test's end
// deletes it with everything in it, and waits for that.
func newSpace(t *testing.T, name string) *space {
	t.Helper()
	s := &space{t: t, name: name}
	_, err := api.CoreV1().Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}},
		meta.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, what := range [][]string{{"get", "pods", "-o", "wide"}, {"describe", "pods"}} {
				out, _ := s.try(what...)
				t.Logf("kubectl %s:\n%s", strings.Join(what, " "), out)
			}
		}
		if out, err := s.try("delete", "namespace", name, "--wait", "--timeout=3m"); err != nil {
			t.Errorf("the namespace is not deleted: %v: %s", err, out)
		}
	})
	until(t, time.Minute, "namespace "+name+" has its service account", func() string {
		_, err := api.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", meta.GetOptions{})
		if err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}

func (s *space) command(ctx context.Context, arguments ...string) *exec.Cmd {
	all := append([]string{"--kubeconfig=" + control.Kubeconfig, "--cache-dir=" + filepath.Join(env.Dir, "kubectl-cache"),
		"--namespace=" + s.name}, arguments...)
	return exec.CommandContext(ctx, filepath.Join(env.Bin, "kubectl"), all...)
}

// try runs kubectl; what it says on stderr is in the error.
func (s *space) try(arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command := s.command(ctx, arguments...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}

// kubectl runs it and returns what it says; the test fails when it does.
func (s *space) kubectl(arguments ...string) string {
	s.t.Helper()
	out, err := s.try(arguments...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

// apply applies manifests/NAME.yaml.
func (s *space) apply(name string) {
	s.t.Helper()
	text, err := manifests.ReadFile("manifests/" + name + ".yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	command := s.command(ctx, "apply", "-f", "-")
	command.Stdin = bytes.NewReader(text)
	if out, err := command.CombinedOutput(); err != nil {
		s.t.Fatalf("kubectl apply of %s: %v\n%s", name, err, out)
	}
}

// pods are those with the label app=APP, or all of the namespace when it is empty.
func (s *space) pods(app string) []v1.Pod {
	s.t.Helper()
	options := meta.ListOptions{}
	if app != "" {
		options.LabelSelector = "app=" + app
	}
	list, err := api.CoreV1().Pods(s.name).List(s.t.Context(), options)
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// waitPod waits until the pod is there and probe returns "", and returns that pod.
func (s *space) waitPod(name, what string, limit time.Duration, probe func(*v1.Pod) string) *v1.Pod {
	s.t.Helper()
	var pod *v1.Pod
	until(s.t, limit, fmt.Sprintf("pod %q %s", name, what), func() string {
		var err error
		if pod, err = api.CoreV1().Pods(s.name).Get(s.t.Context(), name, meta.GetOptions{}); err != nil {
			return err.Error()
		}
		return probe(pod)
	})
	return pod
}

// phase is a probe for waitPod.
func phase(want v1.PodPhase) func(*v1.Pod) string {
	return func(pod *v1.Pod) string {
		if pod.Status.Phase == want {
			return ""
		}
		return fmt.Sprintf("it is %s: %s %s", pod.Status.Phase, pod.Status.Reason, pod.Status.Message)
	}
}

// ready is a probe for waitPod.
func ready(pod *v1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodReady && c.Status == v1.ConditionTrue {
			return ""
		}
	}
	return fmt.Sprintf("it is %s and not ready: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
}

func (s *space) gone(name string, limit time.Duration) {
	s.t.Helper()
	until(s.t, limit, fmt.Sprintf("pod %q is gone", name), func() string {
		if _, err := api.CoreV1().Pods(s.name).Get(s.t.Context(), name, meta.GetOptions{}); errors.IsNotFound(err) {
			return ""
		}
		return "it is there"
	})
}

// containerStatus of a container of the pod, also of an init container; empty when it has none yet.
func containerStatus(pod *v1.Pod, container string) v1.ContainerStatus {
	for _, c := range append(append([]v1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if c.Name == container {
			return c
		}
	}
	return v1.ContainerStatus{}
}

// event waits for an event of the object with that reason and those words in its message.
func (s *space) event(object, reason, words string, limit time.Duration) *v1.Event {
	s.t.Helper()
	var found *v1.Event
	until(s.t, limit, fmt.Sprintf("event %s of %s says %q", reason, object, words), func() string {
		list, err := api.CoreV1().Events(s.name).List(s.t.Context(), meta.ListOptions{})
		if err != nil {
			return err.Error()
		}
		said := []string{}
		for i, e := range list.Items {
			if e.InvolvedObject.Name != object {
				continue
			}
			if e.Reason == reason && strings.Contains(e.Message, words) {
				found = &list.Items[i]
				return ""
			}
			said = append(said, e.Reason+": "+e.Message)
		}
		return "its events are\n  " + joined(said)
	})
	return found
}
