// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Hierarchy is one mounted cgroup tree.
type Hierarchy struct {
	Mount       string   // where it is mounted
	Version     int      // 1 or 2
	Controllers []string // the controllers of a v1 tree
}

// Hierarchies lists the mounted cgroup trees from /proc/self/mountinfo, each once.
func Hierarchies() ([]Hierarchy, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []Hierarchy
	seen := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 6 || len(right) < 3 || seen[left[2]] || left[3] != "/" {
			continue
		}
		switch right[0] {
		case "cgroup":
			var controllers []string
			for _, option := range strings.Split(right[2], ",") {
				if option != "rw" && option != "ro" && !strings.Contains(option, "=") {
					controllers = append(controllers, option)
				}
			}
			found = append(found, Hierarchy{Mount: left[4], Version: 1, Controllers: controllers})
		case "cgroup2":
			found = append(found, Hierarchy{Mount: left[4], Version: 2})
		default:
			continue
		}
		seen[left[2]] = true
	}
	return found, nil
}

// MemoryMount is the tree that owns the memory controller, and its version.
func MemoryMount() (Hierarchy, error) { return ControllerMount("memory") }

// ControllerMount is the tree that owns a controller, and its version.
func ControllerMount(controller string) (Hierarchy, error) {
	all, err := Hierarchies()
	if err != nil {
		return Hierarchy{}, err
	}
	for _, h := range all {
		for _, c := range h.Controllers {
			if c == controller {
				return h, nil
			}
		}
	}
	for _, h := range all {
		if h.Version == 2 {
			return h, nil
		}
	}
	return Hierarchy{}, fmt.Errorf("no cgroup tree with a %s controller is mounted", controller)
}

// Cgroup is a sub-tree of our own, with one name in every hierarchy: kubelet's cgroupRoot.
type Cgroup struct {
	Path        string // "/berth-test-kubelet-12"
	hierarchies []Hierarchy
}

// NewCgroup makes the sub-tree. kubelet refuses a cgroupRoot that is missing in one of the controllers. A new
// v1 cpuset has no CPUs and takes no process before it was given some: it gets its parent's.
func NewCgroup(path string) (*Cgroup, error) {
	all, err := Hierarchies()
	if err != nil {
		return nil, err
	}
	memory, err := MemoryMount()
	if err != nil {
		return nil, err
	}
	group := &Cgroup{Path: path, hierarchies: all}
	for _, h := range all {
		if h.Version == 2 && h.Mount != memory.Mount {
			continue // hybrid: kubelet looks at the v1 trees only; the runtime makes what it wants here
		}
		dir := filepath.Join(h.Mount, path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if h.Version == 2 {
			for _, c := range []string{"cpu", "cpuset", "io", "memory", "hugetlb", "pids"} {
				// A controller that this kernel does not have cannot be turned on; kubelet names what it misses.
				_ = os.WriteFile(filepath.Join(h.Mount, "cgroup.subtree_control"), []byte("+"+c), 0o644)
			}
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if h.Version != 1 {
				continue
			}
			if value, err := os.ReadFile(filepath.Join(h.Mount, file)); err == nil {
				if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
					return nil, err
				}
			}
		}
	}
	return group, nil
}

// Enter moves this process into PATH/NAME of the memory tree, so that whatever it starts can be found again.
func (c *Cgroup) Enter(name string) error {
	memory, err := MemoryMount()
	if err != nil {
		return err
	}
	dir := filepath.Join(memory.Mount, c.Path, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// Dirs lists every directory of the sub-tree in all hierarchies, parents first.
func (c *Cgroup) Dirs() []string {
	var dirs []string
	for _, h := range c.hierarchies {
		_ = filepath.WalkDir(filepath.Join(h.Mount, c.Path), func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
	}
	return dirs
}

// Processes lists the pids in the sub-tree but those of `except` (a child's name, may be empty).
func (c *Cgroup) Processes(except string) []int {
	pids := map[int]bool{}
	for _, dir := range c.Dirs() {
		if except != "" && filepath.Base(dir) == except {
			continue
		}
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids[pid] = true
			}
		}
	}
	var list []int
	for pid := range pids {
		list = append(list, pid)
	}
	sort.Ints(list)
	return list
}

// Remove kills what is left in the sub-tree and removes it.
func (c *Cgroup) Remove() error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pids := c.Processes("")
		for _, pid := range pids {
			if pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		dirs := c.Dirs()
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = syscall.Rmdir(dirs[i])
		}
		if len(dirs) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup %q is not empty: processes %v, directories %v", c.Path, pids, dirs)
		}
	}
}
