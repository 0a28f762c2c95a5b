// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func volumes(t *testing.T) {
	s := newSpace(t, "volumes")
	s.apply("volumes")
	pod := s.waitPod("volumes", "ends", 2*time.Minute, func(pod *v1.Pod) string {
		if pod.Status.Phase == v1.PodFailed {
			return ""
		}
		return phase(v1.PodSucceeded)(pod)
	})
	said := s.kubectl("logs", "volumes", "-c", "reader")
	for _, want := range []string{
		"note: from writer\n", "kind: tmpfs\n", "size: 16384\n", "conf: level = 7\n", "secret: open sesame 400\n",
		"label: app=\"volumes\"\n", "env: green, open sesame, 67108864\n", "address: " + pod.Status.PodIP + "\n",
		"hostname: chosen\n", "token: ey\n", "namespace: volumes\n", "ca: -----BEGIN CERTIFICATE-----\n",
		"resolv.conf: search volumes.svc.cluster.local svc.cluster.local cluster.local",
		"resolv.conf: nameserver " + dnsServer + "\n", "resolv.conf: options ndots:5\n", "Read-only file system\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the container does not say %q", want)
		}
	}
	if !regexp.MustCompile(`hosts: ` + regexp.QuoteMeta(pod.Status.PodIP) + `\s+chosen\n`).MatchString(said) {
		t.Errorf("its hosts file does not have the pod's name and address")
	}
	if t.Failed() {
		t.Logf("it says:\n%s", said)
	}
	written := s.kubectl("logs", "volumes", "-c", "writer")
	if !strings.Contains(written, "No space left on device") || !strings.Contains(written, "dd ended with 1") {
		t.Errorf("writing 32 MiB to an emptyDir of 16 MiB in memory gives %q", written)
	}
}
