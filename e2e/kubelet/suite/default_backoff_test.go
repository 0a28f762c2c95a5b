// SPDX-License-Identifier: Apache-2.0

package suite

import "testing"

// TestDefaultBackOff is one kubelet with its own back-off (10 s, doubling). The pods live side by side.
func TestDefaultBackOff(t *testing.T) {
	r := startRun(t, 0)
	t.Run("pods", func(t *testing.T) {
		for name, check := range map[string]func(*testing.T, *run){
			"a container over its memory limit is OOMKilled, with evidence, and backs off 10, 20, 40 s": oomLoop,
			"memory limits of the containers and of the pod are in the cgroups":                         memoryLimits,
			"nginx ends by its image's stop signal within its grace: 0, Completed":                      nginxStops,
			"a process that ignores the stop signal is killed after its grace: 137, Error":              stopIgnored,
			"a command that does not exist fails Start with 127 and StartError, and backs off":          commandMissing,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(t, r)
			})
		}
	})
	t.Run("deleting the manifests leaves nothing", r.nothingLeft)
}
