// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"testing"
	"time"
)

// TestShortBackOff is a second kubelet whose back-off ends at 5 s, for what restarts without being about the
// gaps.
func TestShortBackOff(t *testing.T) {
	r := startRun(t, 5*time.Second)
	t.Run("pods", func(t *testing.T) {
		for name, check := range map[string]func(*testing.T, *run){
			"a container killed from outside is replaced, and its root filesystem made anew": killedFromOutside,
			"an exec liveness probe that fails restarts the container":                       livenessFails,
			"an exec liveness probe that hangs restarts the container":                       livenessHangs,
			"the termination message is read from its file, or from the log":                 terminationMessage,
			"a command that is not executable fails Start with 126 and StartError":           notExecutable,
			"exit codes arrive unchanged, and gaps stay at the short maximum":                exitCodes,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(t, r)
			})
		}
	})
	t.Run("deleting the manifests leaves nothing", r.nothingLeft)
}
