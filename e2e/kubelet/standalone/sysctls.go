// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The settings that kubelet writes at its start (section "kernel tunables" of its container manager). They
// belong to the whole host, not to a namespace, so whoever starts a kubelet has to put them back.
var kubeletSysctls = []string{
	"vm/overcommit_memory",
	"vm/panic_on_oom",
	"kernel/panic",
	"kernel/panic_on_oops",
	"kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes",
}

// Sysctls is what the host's settings were at one moment, by name ("vm/overcommit_memory").
type Sysctls map[string]string

// ReadSysctls reads all settings that kubelet may change. One that this kernel does not have is left out.
func ReadSysctls() Sysctls {
	values := Sysctls{}
	for _, name := range kubeletSysctls {
		if text, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			values[name] = strings.TrimSpace(string(text))
		}
	}
	return values
}

// Difference says, one line each, what is not as it was.
func (s Sysctls) Difference(now Sysctls) []string {
	var lines []string
	for _, name := range kubeletSysctls {
		if s[name] != now[name] {
			lines = append(lines, fmt.Sprintf("%s was %q and is %q", name, s[name], now[name]))
		}
	}
	return lines
}

// Restore writes back what differs, then compares: the error names every setting that is still not as it was.
func (s Sysctls) Restore() error {
	now := ReadSysctls()
	var failures []string
	for _, name := range kubeletSysctls {
		if s[name] == now[name] {
			continue
		}
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(s[name]), 0o644); err != nil {
			failures = append(failures, err.Error())
		}
	}
	if left := s.Difference(ReadSysctls()); len(left) > 0 {
		return fmt.Errorf("kernel settings not put back: %s %s", strings.Join(left, ", "),
			strings.Join(failures, ", "))
	}
	return nil
}
