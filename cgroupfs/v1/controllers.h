// SPDX-License-Identifier: Apache-2.0
// What each v1 controller's files mean (Documentation/admin-guide/cgroup-v1). `dir` is the cgroup's directory
// in that controller's hierarchy, "" when it is not mounted. Apply* write through `changes` and change
// nothing when nothing of theirs is set. Read* leave alone what cannot be read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroupfs/cgroup.h"
#include "cgroupfs/changes.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs::v1 {

// cpu.cc ------------------------------------------------------------------
base::Result<void> ApplyCpu(const std::string& dir, const Resources& resources, Changes& changes);
void ReadCpuLimits(const Kernel& kernel, const std::string& dir, Resources& limits);
// cpuacct.usage (ns), cpuacct.stat (ticks of 1/`ticks_per_second`), cpu.stat (throttled_time in ns).
void ParseCpuStats(std::string_view usage, std::string_view acct_stat, std::string_view cpu_stat,
                   long ticks_per_second, CpuStats& stats);

// memory.cc ---------------------------------------------------------------
// Keeps memory.memsw.limit_in_bytes ≥ memory.limit_in_bytes at each step. A memory limit alone that is above
// the present memsw limit raises that one to itself (no swap). Where the kernel does not account swap, "no
// more swap than memory" and "no limit" are met already and dropped.
base::Result<void> ApplyMemory(const std::string& dir, const Resources& resources, Changes& changes);
void ReadMemoryLimits(const Kernel& kernel, const std::string& dir, Resources& limits);
// kUnlimited for the kernel's greatest value.
std::optional<std::int64_t> ParseLimit(std::string_view text);
void ParseMemoryStat(std::string_view text, MemoryStats& stats);  // usage_bytes must be set before

// pids.cc, cpuset.cc, hugetlb.cc --------------------------------------------
base::Result<void> ApplyPids(const std::string& dir, const Resources& resources, Changes& changes);
void ReadPidsLimits(const Kernel& kernel, const std::string& dir, Resources& limits);

// A new v1 cpuset has no cpus and no memory nodes, and then takes no processes: both are copied from the
// parent where empty.
base::Result<void> InheritCpuset(Kernel& kernel, const std::string& dir);
base::Result<void> ApplyCpuset(const std::string& dir, const Resources& resources, Changes& changes);
void ReadCpusetLimits(const Kernel& kernel, const std::string& dir, Resources& limits);

base::Result<void> ApplyHugetlb(const std::string& dir, const Resources& resources, Changes& changes);
void ReadHugetlbLimits(const Kernel& kernel, const std::string& dir, const std::vector<std::string>& sizes,
                       Resources& limits);

// oom.cc ------------------------------------------------------------------
// memory.oom_control; its oom_kill line is there since 4.13. EINVAL-like (err 0) without it.
base::Result<OomCounters> ParseOomControl(std::string_view text);

// freezer.cc --------------------------------------------------------------
// ETIMEDOUT when not all tasks stood still by the deadline; then those that do stay so.
base::Result<void> TryFreeze(Kernel& kernel, const std::string& dir, base::Deadline deadline);
// The same, thawed again when it did not succeed.
base::Result<void> Freeze(Kernel& kernel, const std::string& dir, base::Deadline deadline);
base::Result<void> Thaw(Kernel& kernel, const std::string& dir);

// kill.cc -----------------------------------------------------------------
// `dirs`: the cgroup's directory in every hierarchy; `freezer`: that of the freezer, "" without one.
base::Result<void> KillAll(Kernel& kernel, const std::string& path, const std::vector<std::string>& dirs,
                           const std::string& freezer, base::Deadline deadline);

// stats.cc ----------------------------------------------------------------
struct StatDirs {
  std::string cpu, cpuacct, memory, pids;
};
base::Result<Stats> ReadStats(const Kernel& kernel, const StatDirs& dirs);

}  // namespace berth::cgroupfs::v1
