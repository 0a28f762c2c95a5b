// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

var (
	summaryMutex sync.Mutex
	notMet       []string
	skipped      []string
)

// Skip skips the test, and says so again at the end.
func (e *Env) Skip(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	summaryMutex.Lock()
	skipped = append(skipped, t.Name()+": "+text)
	summaryMutex.Unlock()
	t.Skip(text)
}

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
	summaryMutex.Lock()
	defer summaryMutex.Unlock()
	notMet = append(notMet, t.Name()+": "+text)
}

func summary(r *Runtime) {
	if len(skipped) > 0 {
		fmt.Printf("skipped: %d\n  %s\n", len(skipped), strings.Join(skipped, "\n  "))
	}
	if len(notMet) > 0 {
		fmt.Printf("promises of berth's that %s does not meet: %d\n  %s\n", r.Name, len(notMet),
			strings.Join(notMet, "\n  "))
	}
}
