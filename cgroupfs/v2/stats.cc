// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

namespace {

std::string ReadOr(const Kernel& kernel, const std::string& file) {
  auto text = kernel.Read(file);
  return text ? std::move(*text) : "";
}

std::optional<std::uint64_t> LimitOrNone(std::string_view text) {
  const auto limit = ParseMaxOrNumber(text);
  if (!limit || *limit == kUnlimited) return std::nullopt;
  return static_cast<std::uint64_t>(*limit);
}

Result<void> ReadMemory(const Kernel& kernel, const std::string& dir, MemoryStats& stats) {
  auto usage = kernel.Read(dir + "/memory.current");
  if (!usage) return usage.TakeError();
  stats.timestamp_ns = base::RealtimeNs();
  stats.usage_bytes = ParseNumber(*usage).value_or(0);
  ParseMemoryStat(ReadOr(kernel, dir + "/memory.stat"), stats);
  stats.limit_bytes = LimitOrNone(ReadOr(kernel, dir + "/memory.max"));
  stats.peak_bytes = ParseNumber(ReadOr(kernel, dir + "/memory.peak"));
  stats.swap_usage_bytes = ParseNumber(ReadOr(kernel, dir + "/memory.swap.current"));
  stats.swap_limit_bytes = LimitOrNone(ReadOr(kernel, dir + "/memory.swap.max"));
  return {};
}

}  // namespace

Result<Stats> ReadStats(const Kernel& kernel, const std::string& dir) {
  Stats stats;
  auto cpu = kernel.Read(dir + "/cpu.stat");
  if (!cpu) return cpu.TakeError();
  stats.cpu.timestamp_ns = base::RealtimeNs();
  ParseCpuStat(*cpu, stats.cpu);
  // A cgroup that was never given the memory controller (an exec's) has the files of neither; its cpu.stat
  // still counts.
  if (kernel.Exists(dir + "/memory.current")) {
    if (auto read = ReadMemory(kernel, dir, stats.memory); !read) return read.TakeError();
  }
  if (const auto current = ParseNumber(ReadOr(kernel, dir + "/pids.current"))) {
    stats.pids = PidsStats{*current, LimitOrNone(ReadOr(kernel, dir + "/pids.max"))};
  }
  stats.cpu_psi = ParsePsi(ReadOr(kernel, dir + "/cpu.pressure"));
  stats.memory_psi = ParsePsi(ReadOr(kernel, dir + "/memory.pressure"));
  stats.io_psi = ParsePsi(ReadOr(kernel, dir + "/io.pressure"));
  return stats;
}

}  // namespace berth::cgroupfs::v2
