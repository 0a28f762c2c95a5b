// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Leftovers are the traces a pod can leave, each as a line of text.
type Leftovers map[string]bool

// Since lists what is in `now` and was not there before.
func (before Leftovers) Since(now Leftovers) []string {
	var left []string
	for what := range now {
		if !before[what] {
			left = append(left, what)
		}
	}
	return left
}

// bridges of this network namespace, as `ip` lists them.
func bridges() string {
	out, _ := exec.Command("ip", "-o", "link", "show", "type", "bridge").Output()
	return string(out)
}

// FindLeftovers looks at the runtime, the kernel and the disk. `known` are processes that may be there; nil means
// that processes are not looked at.
func (e *Env) FindLeftovers(known map[int]bool) Leftovers {
	found := Leftovers{}
	add := func(format string, args ...any) { found[fmt.Sprintf(format, args...)] = true }
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	if list, err := e.Runtime.Client.ListContainers(ctx, &cri.ListContainersRequest{}); err != nil {
		add("ListContainers fails: %v", err)
	} else {
		for _, c := range list.Containers {
			add("container %s (%s)", c.Id, c.Metadata.GetName())
		}
	}
	if list, err := e.Runtime.Client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}); err != nil {
		add("ListPodSandbox fails: %v", err)
	} else {
		for _, s := range list.Items {
			add("sandbox %s (%s)", s.Id, s.Metadata.GetName())
		}
	}

	for _, dir := range e.Group.Dirs() {
		// kubepods and its two classes are kubelet's and stay; so does the place of our daemons.
		if strings.HasPrefix(filepath.Base(dir), "pod") && strings.Contains(dir, "/kubepods/") {
			add("cgroup %s", dir)
		}
	}
	for _, pid := range e.Group.Processes("") {
		if known != nil && !known[pid] {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if len(comm) > 0 { // else it ended meanwhile
				add("process %d (%s)", pid, strings.TrimSpace(string(comm)))
			}
		}
	}

	allBridges := bridges()
	if interfaces, err := net.Interfaces(); err == nil {
		for _, i := range interfaces {
			// The bridge plugin never removes its bridge; everything else was made for a pod.
			if i.Name != "lo" && !strings.Contains(allBridges, " "+i.Name+":") {
				add("network interface %s", i.Name)
			}
		}
	}
	leases, _ := filepath.Glob(filepath.Join(e.leaseDir(), "*", "[0-9]*"))
	for _, lease := range leases {
		add("address lease %s", lease)
	}
	// Pinned namespaces, root filesystems, /dev/shm: all of them are mounts (of a runtime of our own). kubelet binds
	// its root folder over itself where that does not propagate.
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if own, _ := filepath.Match(filepath.Join(e.Dir, "kubelet-*", "root"), fields[4]); !own {
			add("mount %s", fields[4])
		}
	}
	for _, pattern := range []string{"kubelet-*/podlogs/*", "kubelet-*/root/pods/*", "host/var/log/containers/*"} {
		paths, _ := filepath.Glob(filepath.Join(e.Dir, pattern))
		for _, path := range paths {
			add("path %s", path)
		}
	}
	return found
}
