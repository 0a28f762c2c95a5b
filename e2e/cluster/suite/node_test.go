// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.example/e2e/kubelet/standalone"
)

func nodeReady(t *testing.T) {
	var node *v1.Node
	until(t, 2*time.Minute, "the node is ready", func() string {
		var err error
		if node, err = api.CoreV1().Nodes().Get(t.Context(), standalone.NodeName, meta.GetOptions{}); err != nil {
			return err.Error()
		}
		// The controllers take the taint away that keeps pods off.
		if len(node.Spec.Taints) > 0 {
			return fmt.Sprintf("its taints are %+v", node.Spec.Taints)
		}
		for _, c := range node.Status.Conditions {
			if c.Type == v1.NodeReady && c.Status == v1.ConditionTrue {
				return ""
			}
		}
		return fmt.Sprintf("its conditions are %+v", node.Status.Conditions)
	})
	if got := node.Status.NodeInfo.ContainerRuntimeVersion; !strings.HasPrefix(got, env.Runtime.Name+"://") {
		t.Errorf("the node says that its runtime is %q, which calls itself %q", got, env.Runtime.Name)
	}
	var handlers []string
	for _, h := range node.Status.RuntimeHandlers {
		handlers = append(handlers, h.Name)
	}
	env.Promise(t, strings.Contains(strings.Join(handlers, " "), "runc"), "the node's handlers are %q, without runc", handlers)
	t.Logf("runtime %s, handlers %q, kubelet %s", node.Status.NodeInfo.ContainerRuntimeVersion, handlers,
		node.Status.NodeInfo.KubeletVersion)
}
