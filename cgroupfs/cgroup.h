// SPDX-License-Identifier: Apache-2.0
// One interface over cgroup v1 (and hybrid, which counts as v1) and v2. Links only base_core: berth-monitor
// uses it too. Paths of cgroups are those that kubelet names ("/kubepods/burstable/pod<uid>"), relative to
// each controller's mount. All functions are thread safe; they hold no state but the detected host.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "cgroupfs/resources.h"

namespace berth::cgroupfs {

enum class Version { kV1, kV2 };

struct CpuStats {
  std::int64_t timestamp_ns = 0;  // wall clock of this very read
  std::uint64_t usage_ns = 0;
  std::uint64_t user_ns = 0;
  std::uint64_t system_ns = 0;
  std::uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
};
struct MemoryStats {
  std::int64_t timestamp_ns = 0;
  std::uint64_t usage_bytes = 0;
  std::uint64_t working_set_bytes = 0;  // usage - inactive_file, never below 0
  std::uint64_t rss_bytes = 0;          // anonymous memory
  std::uint64_t page_faults = 0, major_page_faults = 0;
  std::optional<std::uint64_t> limit_bytes;  // unset: none
  std::optional<std::uint64_t> peak_bytes;   // v1 max_usage_in_bytes, v2 memory.peak (5.19)
  std::optional<std::uint64_t> swap_usage_bytes, swap_limit_bytes;  // swap alone, v2's way of counting
};
struct PidsStats {
  std::uint64_t current = 0;
  std::optional<std::uint64_t> limit;
};
struct PsiLine {  // total in microseconds as the kernel gives it
  double avg10 = 0, avg60 = 0, avg300 = 0;
  std::uint64_t total_us = 0;
};
struct Psi {
  PsiLine some, full;
};
struct Stats {
  CpuStats cpu;
  MemoryStats memory;
  std::optional<PidsStats> pids;
  std::optional<Psi> cpu_psi, memory_psi, io_psi;  // v2 with PSI only
};

// Growth of these counters is what the OOM verdict looks at (design.md, rule 2).
struct OomCounters {
  std::uint64_t oom_kill =
      0;  // v1: memory.oom_control's oom_kill, this memcg only; v2: memory.events.local oom_kill
  std::uint64_t oom_kill_tree = 0;         // v2: memory.events (hierarchical); v1: equal to oom_kill
  std::optional<std::uint64_t> oom_local;  // v2: memory.events.local `oom`: whose limit it was; v1: unset
};

class Cgroup;

// The host's cgroup layout, detected once. Immutable.
class Host {
 public:
  // `root` is prepended to every path read ("" on a real host; a fake tree in tests).
  static base::Result<std::shared_ptr<const Host>> Detect(const std::string& root = "");
  virtual ~Host() = default;
  virtual Version version() const = 0;
  // A handle on the cgroup at `path`; nothing is touched yet. Literal path, validated: absolute, no "..", no
  // empty part.
  virtual base::Result<std::unique_ptr<Cgroup>> At(const std::string& path) const = 0;
  // The child cgroup of one exec, below its container's: on v2 made without enabling controllers (so the
  // container may keep its processes), on v1 in the pids and freezer hierarchies only (a memory cgroup per
  // probe would linger). Not for Apply.
  virtual base::Result<std::unique_ptr<Cgroup>> ExecAt(const std::string& path) const { return At(path); }
  // Controllers that limits can be set with ("cpu", "memory", "pids", "hugetlb", "cpuset", …).
  virtual bool HasController(const std::string& name) const = 0;
  // "2MB", "1GB": page sizes whose hugetlb limit can be set; empty without the controller.
  virtual std::vector<std::string> HugepageSizes() const = 0;
  // v1 hybrid whose v2 tree owns at most hugetlb: its mountpoint, for SpawnOptions.hide_mount (crun). Else
  // "".
  virtual std::string UnifiedMountToHide() const = 0;
  // Absolute directory whose memory.* files belong to the cgroup `path`.
  virtual std::string MemoryDir(const std::string& path) const = 0;
};

// One cgroup of a pod, container, exec or helper, in all controllers at once.
class Cgroup {
 public:
  virtual ~Cgroup() = default;
  virtual const std::string& path() const = 0;
  virtual bool Exists() const = 0;
  // Makes the directories (and parents; v2: enables the controllers for the children on the way; v1: cpuset
  // files inherited). Existing ones are success. True if this very directory was made by this call.
  virtual base::Result<bool> Create() = 0;
  // Applies what is set, in an order that never passes through a state the kernel refuses (v1: memsw ≥ memory
  // at each step). v2: lowering memory below what is used kills instead of refusing, so it is compared first
  // and refused with EBUSY and both numbers. On an error the values written before are put back.
  virtual base::Result<void> Apply(const Resources& resources) = 0;
  // Files (cgroup.procs, one per v1 hierarchy) for SpawnOptions.cgroup_procs.
  virtual std::vector<std::string> ProcsFiles() const = 0;
  virtual base::Result<void> Join(pid_t pid) = 0;
  // All processes in it and below. v1: union over the hierarchies.
  virtual base::Result<std::vector<pid_t>> Processes() const = 0;
  // Kills everything in it and below, and returns when it is empty: v2 cgroup.kill; v1 freeze, SIGKILL, thaw,
  // list again. ETIMEDOUT with the pids left in the text when the deadline passes (D state never dies). A
  // missing cgroup is empty.
  virtual base::Result<void> KillAll(base::Deadline deadline) = 0;
  // rmdir of it and of its children, bottom up; EBUSY while processes are left. Missing is success.
  virtual base::Result<void> Remove() = 0;
  virtual base::Result<void> Freeze(base::Deadline deadline) = 0;
  virtual base::Result<void> Thaw() = 0;
  virtual base::Result<Stats> ReadStats() const = 0;
  virtual base::Result<OomCounters> ReadOomCounters() const = 0;
  // The limits as the kernel has them now (what `berth explain` shows and pod sums are checked with).
  virtual base::Result<Resources> ReadLimits() const = 0;
};

// v2's cpu.weight from CRI's shares and back is lossy: callers echo the numbers given, not these.
std::uint64_t WeightFromShares(std::int64_t shares);

}  // namespace berth::cgroupfs
