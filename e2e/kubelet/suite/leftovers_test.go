// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// leftovers are the traces a pod can leave, each as a line of text.
type leftovers map[string]bool

// findLeftovers looks at the runtime, the kernel and the disk. `known` are processes that may be there.
func findLeftovers(known map[int]bool) leftovers {
	found := leftovers{}
	add := func(format string, args ...any) { found[fmt.Sprintf(format, args...)] = true }
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	if list, err := target.client.ListContainers(ctx, &cri.ListContainersRequest{}); err != nil {
		add("ListContainers fails: %v", err)
	} else {
		for _, c := range list.Containers {
			add("container %s (%s)", c.Id, c.Metadata.GetName())
		}
	}
	if list, err := target.client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}); err != nil {
		add("ListPodSandbox fails: %v", err)
	} else {
		for _, s := range list.Items {
			add("sandbox %s (%s)", s.Id, s.Metadata.GetName())
		}
	}

	for _, dir := range group.Dirs() {
		// kubepods and its two classes are kubelet's and stay; so does the place of our daemons.
		if strings.HasPrefix(filepath.Base(dir), "pod") && strings.Contains(dir, "/kubepods/") {
			add("cgroup %s", dir)
		}
	}
	for _, pid := range group.Processes("") {
		if known != nil && !known[pid] {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if len(comm) > 0 { // else it ended meanwhile
				add("process %d (%s)", pid, strings.TrimSpace(string(comm)))
			}
		}
	}

	if interfaces, err := net.Interfaces(); err == nil {
		for _, i := range interfaces {
			// The bridge plugin never removes its bridge; everything else was made for a pod.
			if i.Name != "lo" && i.Name != "berthk0" {
				add("network interface %s", i.Name)
			}
		}
	}
	leases, _ := filepath.Glob(filepath.Join(leaseDir(), "*", "[0-9]*"))
	for _, lease := range leases {
		add("address lease %s", lease)
	}
	// Pinned namespaces, root filesystems, /dev/shm: all of them are mounts (of a runtime of our own).
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 {
			add("mount %s", fields[4])
		}
	}
	for _, pattern := range []string{"kubelet-*/podlogs/*", "kubelet-*/root/pods/*", "host/var/log/containers/*"} {
		paths, _ := filepath.Glob(filepath.Join(workDir, pattern))
		for _, path := range paths {
			add("path %s", path)
		}
	}
	return found
}

// nothingLeft removes all manifests and waits until everything that was not there before the pods is gone.
// kubelet collects dead sandboxes once a minute, so that is what it takes.
func (r *run) nothingLeft(t *testing.T) {
	manifests, _ := filepath.Glob(filepath.Join(r.Manifests, "*.json"))
	for _, file := range manifests {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
	known := map[int]bool{os.Getpid(): true, r.Pid(): true, target.pid(): true}
	r.until(t, 4*time.Minute, "nothing is left of the pods", func() string {
		var left []string
		for what := range findLeftovers(known) {
			if !r.before[what] {
				left = append(left, what)
			}
		}
		return strings.Join(left, "\n  ")
	})
}
