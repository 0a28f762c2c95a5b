// SPDX-License-Identifier: Apache-2.0
// What each v2 controller's files mean (Documentation/admin-guide/cgroup-v2.rst). `dir` is the cgroup's
// directory. Apply* write through `changes` and change nothing when nothing of theirs is set. Read* leave
// alone what cannot be read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroupfs/cgroup.h"
#include "cgroupfs/changes.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs::v2 {

// subtree.cc --------------------------------------------------------------
// Gives `dir`'s children the controllers that limits need and `dir` has. EBUSY, told with the pids, when
// processes live in `dir` itself (the no-internal-processes rule; the root is exempt).
base::Result<void> EnableControllers(Kernel& kernel, const std::string& dir);
// EOPNOTSUPP naming the controller unless `file` is there.
base::Result<void> NeedFile(const Kernel& kernel, const std::string& file, std::string_view controller);

// cpu.cc ------------------------------------------------------------------
base::Result<void> ApplyCpu(const std::string& dir, const Resources& resources, Changes& changes);
void ReadCpuLimits(const Kernel& kernel, const std::string& dir, Resources& limits);
struct Bandwidth {
  std::int64_t quota_us = kUnlimited;
  std::int64_t period_us = 100000;
};
std::optional<Bandwidth> ParseCpuMax(std::string_view text);  // "max 100000", "50000 100000"
void ParseCpuStat(std::string_view text, CpuStats& stats);    // without the timestamp

// memory.cc ---------------------------------------------------------------
// A limit below what is in use would be met by killing: first the kernel is asked to reclaim the difference
// (memory.reclaim, 5.19), as v1 does by itself; what then is still too much is refused with EBUSY and both
// numbers.
base::Result<void> ApplyMemory(const std::string& dir, const Resources& resources, Changes& changes);
// The check and the reclaim alone, for a memory.max that comes through `unified`. `limit` may be kUnlimited.
base::Result<void> MakeRoom(Kernel& kernel, const std::string& dir, std::int64_t limit);
void ReadMemoryLimits(const Kernel& kernel, const std::string& dir, Resources& limits);
void ParseMemoryStat(std::string_view text, MemoryStats& stats);  // usage_bytes must be set before

// pids.cc, cpuset.cc, hugetlb.cc, unified.cc ----------------------------------
base::Result<void> ApplyPids(const std::string& dir, const Resources& resources, Changes& changes);
void ReadPidsLimits(const Kernel& kernel, const std::string& dir, Resources& limits);
base::Result<void> ApplyCpuset(const std::string& dir, const Resources& resources, Changes& changes);
void ReadCpusetLimits(const Kernel& kernel, const std::string& dir, Resources& limits);
base::Result<void> ApplyHugetlb(const std::string& dir, const Resources& resources, Changes& changes);
void ReadHugetlbLimits(const Kernel& kernel, const std::string& dir, const std::vector<std::string>& sizes,
                       Resources& limits);
base::Result<void> ApplyUnified(const std::string& dir, const Resources& resources,
                                Changes& changes);  // keys are valid

// oom.cc ------------------------------------------------------------------
// memory.events and memory.events.local (5.2; "" where it is missing: then oom_local is unset and oom_kill
// counts the tree).
base::Result<OomCounters> ParseEvents(std::string_view events, std::string_view local);

// freezer.cc --------------------------------------------------------------
// ETIMEDOUT when not all tasks stood still by the deadline; then those that do stay so.
base::Result<void> TryFreeze(Kernel& kernel, const std::string& dir, base::Deadline deadline);
// The same, thawed again when it did not succeed.
base::Result<void> Freeze(Kernel& kernel, const std::string& dir, base::Deadline deadline);
base::Result<void> Thaw(Kernel& kernel, const std::string& dir);

// kill.cc -----------------------------------------------------------------
// cgroup.kill (5.14), else freeze, SIGKILL, thaw, list again.
base::Result<void> KillAll(Kernel& kernel, const std::string& path, const std::string& dir,
                           base::Deadline deadline);

// stats.cc ----------------------------------------------------------------
base::Result<Stats> ReadStats(const Kernel& kernel, const std::string& dir);

}  // namespace berth::cgroupfs::v2
