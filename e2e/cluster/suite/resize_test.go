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

	"berth.example/e2e/kubelet/standalone"
)

// limitOf reads a limit of a burstable pod's cgroup, or of a container's in it, in bytes or in microseconds of CPU
// time per 100 ms.
func limitOf(pod *v1.Pod, container, controller string) (string, error) {
	h, err := standalone.ControllerMount(controller)
	if err != nil {
		return "", err
	}
	file := map[string]string{"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us"}[controller]
	if h.Version == 2 {
		file = controller + ".max"
	}
	id := ""
	if container != "" {
		if _, id, _ = strings.Cut(containerStatus(pod, container).ContainerID, "://"); id == "" {
			return "", fmt.Errorf("container %q has no id", container)
		}
	}
	text, err := os.ReadFile(filepath.Join(h.Mount, env.Group.Path, "kubepods", "burstable", "pod"+string(pod.UID), id, file))
	value, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return value, err
}

// resized waits until the container's limits are these in the pod's status and in the cgroups, the pod's included.
func (s *space) resized(container, cpu, memory string, want map[string]string) *v1.Pod {
	s.t.Helper()
	return s.waitPod("resized", "has the new limits", 2*time.Minute, func(pod *v1.Pod) string {
		for _, c := range pod.Status.Conditions {
			if c.Type == v1.PodResizePending || c.Type == v1.PodResizeInProgress {
				return fmt.Sprintf("condition %s: %s %s", c.Type, c.Reason, c.Message)
			}
		}
		c := containerStatus(pod, container)
		if c.Resources == nil || c.Resources.Limits.Cpu().String() != cpu || c.Resources.Limits.Memory().String() != memory {
			return fmt.Sprintf("its status says %+v", c.Resources)
		}
		for key, value := range want { // "pod cpu", "stays memory"
			name, controller, _ := strings.Cut(key, " ")
			if name == "pod" {
				name = ""
			}
			if got, err := limitOf(pod, name, controller); err != nil || got != value {
				return fmt.Sprintf("the limit %q in the cgroup is %q (%v), not %s", key, got, err, value)
			}
		}
		return ""
	})
}

func (s *space) resize(container, resources string) {
	s.t.Helper()
	s.kubectl("patch", "pod", "resized", "--subresource=resize", "--patch",
		fmt.Sprintf(`{"spec": {"containers": [{"name": %q, "resources": %s}]}}`, container, resources))
}

func resize(t *testing.T) {
	s := newSpace(t, "resize")
	s.apply("resize")
	pod := s.waitPod("resized", "is ready", time.Minute, ready)
	id := containerStatus(pod, "stays").ContainerID
	s.resized("stays", "200m", "64Mi", map[string]string{"stays cpu": "20000", "stays memory": "67108864",
		"pod cpu": "30000", "pod memory": "100663296"})

	s.resize("stays", `{"requests": {"cpu": "150m", "memory": "48Mi"}, "limits": {"cpu": "400m", "memory": "96Mi"}}`)
	s.resized("stays", "400m", "96Mi", map[string]string{"stays cpu": "40000", "stays memory": "100663296",
		"pod cpu": "50000", "pod memory": "134217728"})
	s.resize("stays", `{"requests": {"cpu": "50m", "memory": "24Mi"}, "limits": {"cpu": "100m", "memory": "40Mi"}}`)
	pod = s.resized("stays", "100m", "40Mi", map[string]string{"stays cpu": "10000", "stays memory": "41943040",
		"pod cpu": "20000", "pod memory": "75497472"})
	if c := containerStatus(pod, "stays"); c.ContainerID != id || c.RestartCount != 0 {
		t.Errorf("resizing replaced the container: it was %s and is %s, with %d restarts", id, c.ContainerID, c.RestartCount)
	}

	before := containerStatus(pod, "restarts").ContainerID
	s.resize("restarts", `{"limits": {"memory": "48Mi"}}`)
	pod = s.resized("restarts", "100m", "48Mi", map[string]string{"restarts memory": "50331648", "pod memory": "92274688"})
	if c := containerStatus(pod, "restarts"); c.ContainerID == before || c.RestartCount != 1 {
		t.Errorf("a container that asks to be restarted for memory was not: %s with %d restarts", c.ContainerID, c.RestartCount)
	}
	if c := containerStatus(pod, "stays"); c.ContainerID != id || c.RestartCount != 0 {
		t.Errorf("its neighbour was restarted too: %s with %d restarts", c.ContainerID, c.RestartCount)
	}
}
