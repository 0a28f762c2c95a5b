// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/convert.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

using base::Result;

namespace {

Result<std::int64_t> ReadLimit(const Kernel& kernel, const std::string& file) {
  auto text = kernel.Read(file);
  if (!text) return text.TakeError();
  const auto limit = ParseLimit(*text);
  if (!limit) return base::Malformed("'" + file + "' holds no number");
  return *limit;
}

bool Above(std::int64_t a, std::int64_t b) { return b != kUnlimited && (a == kUnlimited || a > b); }

// The kernel reclaims what it can and answers EBUSY when more than the new limit stays in use: then both
// numbers are told.
Result<void> SetLimit(const std::string& dir, const std::string& name, std::int64_t limit,
                      const std::string& wanted, Changes& changes) {
  auto set = changes.Set(dir + "/" + name + ".limit_in_bytes", std::to_string(limit), wanted);
  if (set || set.error().err != EBUSY) return set;
  auto usage = changes.kernel().Read(dir + "/" + name + ".usage_in_bytes");
  const std::uint64_t used = usage ? ParseNumber(*usage).value_or(0) : 0;
  return base::SyscallFailed(EBUSY, wanted + " of " + BytesText(static_cast<std::uint64_t>(limit)) +
                                        " is below what is in use and cannot be reclaimed: " +
                                        BytesText(used) + " in '" + dir + "'");
}

}  // namespace

std::optional<std::int64_t> ParseLimit(std::string_view text) {
  const auto number = ParseNumber(text);
  if (!number) return std::nullopt;
  return *number >= kV1NoLimit ? kUnlimited : static_cast<std::int64_t>(*number);
}

Result<void> ApplyMemory(const std::string& dir, const Resources& resources, Changes& changes) {
  if (!resources.memory_limit_bytes && !resources.memory_swap_limit_bytes) return {};
  if (dir.empty()) {
    return base::SyscallFailed(
        EOPNOTSUPP, "memory limits need the cgroup controller 'memory', which is not mounted here");
  }
  const std::string kMemory = "memory", kBoth = "memory.memsw";
  auto old_memory = ReadLimit(changes.kernel(), dir + "/memory.limit_in_bytes");
  if (!old_memory) return old_memory.TakeError();
  const std::int64_t memory = resources.memory_limit_bytes.value_or(*old_memory);
  if (resources.memory_swap_limit_bytes) {
    if (auto valid = SwapAlone(memory, *resources.memory_swap_limit_bytes); !valid) return valid.TakeError();
  }
  const auto set_memory = [&]() -> Result<void> {
    if (!resources.memory_limit_bytes) return {};
    return SetLimit(dir, kMemory, memory, "memory limit", changes);
  };
  auto old_both = ReadLimit(changes.kernel(), dir + "/memory.memsw.limit_in_bytes");
  if (!old_both) {
    if (old_both.error().err != ENOENT) return old_both.TakeError();
    const std::int64_t both = resources.memory_swap_limit_bytes.value_or(memory);
    if (both != kUnlimited && both != memory) {
      return base::SyscallFailed(
          EOPNOTSUPP,
          "a swap limit needs swap accounting, which this kernel was started without (swapaccount=1)");
    }
    return set_memory();
  }
  std::int64_t both = resources.memory_swap_limit_bytes.value_or(*old_both);
  if (Above(memory, both)) both = memory;
  const auto set_both = [&]() -> Result<void> {
    if (both == *old_both && !resources.memory_swap_limit_bytes) return {};
    return SetLimit(dir, kBoth, both, "limit of memory and swap together", changes);
  };
  if (Above(both, *old_both)) {
    if (auto set = set_both(); !set) return set;
    return set_memory();
  }
  if (auto set = set_memory(); !set) return set;
  return set_both();
}

void ReadMemoryLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (dir.empty()) return;
  if (auto limit = ReadLimit(kernel, dir + "/memory.limit_in_bytes")) limits.memory_limit_bytes = *limit;
  if (auto limit = ReadLimit(kernel, dir + "/memory.memsw.limit_in_bytes"))
    limits.memory_swap_limit_bytes = *limit;
}

void ParseMemoryStat(std::string_view text, MemoryStats& stats) {
  // total_*: with the children, as usage_in_bytes counts.
  const std::uint64_t inactive = ParseKeyed(text, "total_inactive_file").value_or(0);
  stats.working_set_bytes = stats.usage_bytes > inactive ? stats.usage_bytes - inactive : 0;
  stats.rss_bytes = ParseKeyed(text, "total_rss").value_or(0);
  stats.page_faults = ParseKeyed(text, "total_pgfault").value_or(0);
  stats.major_page_faults = ParseKeyed(text, "total_pgmajfault").value_or(0);
  if (const auto swap = ParseKeyed(text, "total_swap")) stats.swap_usage_bytes = swap;
}

}  // namespace berth::cgroupfs::v1
