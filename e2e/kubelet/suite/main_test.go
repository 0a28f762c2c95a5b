// SPDX-License-Identifier: Apache-2.0

// Package suite runs a real kubelet, standalone, on a CRI runtime and looks at what kubelet, the runtime and
// the kernel then say about pods that die in different ways. Run as root:
//
//	kubelet.test -bin-dir build/debug/bin -programs DIR -images DIR -test.v
//	kubelet.test -endpoint unix:///run/x.sock -import 'ctr -n k8s.io images import {}' …
//
// Some expectations are promises of berth's alone (evidence in messages, exact codes of failed starts). With
// another runtime they are printed as "not met by this runtime" and fail nothing.
package suite

import (
	"os"
	"testing"

	"berth.example/e2e/harness"
)

// env is what this run has of its own; target is the runtime in it.
var (
	env    *harness.Env
	target *harness.Runtime
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Suite{
		Name:   "kubelet",
		Images: []string{"busybox", "python", "nginx", "faults"},
		Start: func(e *harness.Env) (func(), error) {
			env, target = e, e.Runtime
			return func() {}, nil
		},
	}))
}
