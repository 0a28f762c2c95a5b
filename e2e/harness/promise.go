// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

var (
	notMetMutex sync.Mutex
	notMet      []string
)

// Promise checks what berth alone promises: a failure with berth, a note with any other runtime.
func (e *Env) Promise(t *testing.T, kept bool, format string, args ...any) {
	t.Helper()
	if kept {
		return
	}
	text := fmt.Sprintf(format, args...)
	if e.Runtime.Ours {
		t.Error(text)
		return
	}
	t.Logf("not met by this runtime (%s): %s", e.Runtime.Name, text)
	notMetMutex.Lock()
	defer notMetMutex.Unlock()
	notMet = append(notMet, t.Name()+": "+text)
}

func notMetSummary(r *Runtime) {
	if len(notMet) > 0 {
		fmt.Printf("promises of berth's that %s does not meet: %d\n  %s\n", r.Name, len(notMet),
			strings.Join(notMet, "\n  "))
	}
}
