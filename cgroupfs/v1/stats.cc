// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "base/clock.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

using base::Result;

namespace {

std::string ReadOr(const Kernel& kernel, const std::string& dir, const std::string& file) {
  if (dir.empty()) return "";
  auto text = kernel.Read(dir + "/" + file);
  return text ? std::move(*text) : "";
}

std::optional<std::uint64_t> LimitOrNone(std::optional<std::int64_t> limit) {
  if (!limit || *limit == kUnlimited) return std::nullopt;
  return static_cast<std::uint64_t>(*limit);
}

Result<void> ReadCpu(const Kernel& kernel, const StatDirs& dirs, CpuStats& stats) {
  if (dirs.cpuacct.empty()) return {};
  auto usage = kernel.Read(dirs.cpuacct + "/cpuacct.usage");
  if (!usage) return usage.TakeError();
  stats.timestamp_ns = base::RealtimeNs();
  // user and system come from cpuacct.stat, which shares the precise sum out by ticks;
  // cpuacct.usage_user/_sys count whole scheduler slices by where the last tick found the task.
  ParseCpuStats(*usage, ReadOr(kernel, dirs.cpuacct, "cpuacct.stat"), ReadOr(kernel, dirs.cpu, "cpu.stat"),
                ::sysconf(_SC_CLK_TCK), stats);
  return {};
}

Result<void> ReadMemory(const Kernel& kernel, const StatDirs& dirs, MemoryStats& stats) {
  if (dirs.memory.empty()) return {};
  auto usage = kernel.Read(dirs.memory + "/memory.usage_in_bytes");
  if (!usage) return usage.TakeError();
  stats.timestamp_ns = base::RealtimeNs();
  stats.usage_bytes = ParseNumber(*usage).value_or(0);
  stats.peak_bytes = ParseNumber(ReadOr(kernel, dirs.memory, "memory.max_usage_in_bytes"));
  ParseMemoryStat(ReadOr(kernel, dirs.memory, "memory.stat"), stats);
  Resources limits;
  ReadMemoryLimits(kernel, dirs.memory, limits);
  stats.limit_bytes = LimitOrNone(limits.memory_limit_bytes);
  const auto both = LimitOrNone(limits.memory_swap_limit_bytes);
  if (both && stats.limit_bytes && *both >= *stats.limit_bytes)
    stats.swap_limit_bytes = *both - *stats.limit_bytes;
  return {};
}

}  // namespace

Result<Stats> ReadStats(const Kernel& kernel, const StatDirs& dirs) {
  Stats stats;
  if (auto read = ReadCpu(kernel, dirs, stats.cpu); !read) return read.TakeError();
  if (auto read = ReadMemory(kernel, dirs, stats.memory); !read) return read.TakeError();
  if (const auto current = ParseNumber(ReadOr(kernel, dirs.pids, "pids.current"))) {
    stats.pids = PidsStats{*current, LimitOrNone(ParseMaxOrNumber(ReadOr(kernel, dirs.pids, "pids.max")))};
  }
  return stats;
}

}  // namespace berth::cgroupfs::v1
