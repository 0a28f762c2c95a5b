// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"strings"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func runtimeClass(t *testing.T) {
	s := newSpace(t, "runtimeclass")
	t.Cleanup(func() {
		if out, err := s.try("delete", "runtimeclass", "berth-test-known", "berth-test-unknown"); err != nil {
			t.Errorf("the RuntimeClasses are not deleted: %v: %s", err, out)
		}
	})
	s.apply("runtimeclass")
	s.waitPod("known", "is ready", time.Minute, ready)
	list, err := env.Runtime.Client.ListPodSandbox(t.Context(), &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{
		LabelSelector: map[string]string{"io.kubernetes.pod.name": "known", "io.kubernetes.pod.namespace": s.name}}})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("the sandboxes of pod known are %v (%v)", list, err)
	}
	if got := list.Items[0].RuntimeHandler; got != "runc" {
		t.Errorf("the sandbox of the pod with a RuntimeClass for runc has handler %q", got)
	}
	refused := s.event("unknown", "FailedCreatePodSandBox", "no-such-handler", time.Minute)
	env.Promise(t, strings.Contains(refused.Message, "configured are: crun, runc"),
		"the event of the unknown handler is %q: it does not name the known ones", refused.Message)
	pod, err := api.CoreV1().Pods(s.name).Get(t.Context(), "unknown", meta.GetOptions{})
	if err != nil || containerStatus(pod, "main").ContainerID != "" {
		t.Errorf("the pod with an unknown handler has a container: %+v (%v)", pod.Status, err)
	}
}
