// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/convert.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

namespace {

Result<std::int64_t> ReadLimit(const Kernel& kernel, const std::string& file) {
  auto text = kernel.Read(file);
  if (!text) return text.TakeError();
  const auto limit = ParseMaxOrNumber(*text);
  if (!limit) return base::Malformed("'" + file + "' holds neither a number nor 'max'");
  return *limit;
}

Result<void> ApplySwap(const std::string& dir, std::int64_t memory, std::int64_t both, Changes& changes) {
  auto swap = SwapAlone(memory, both);
  if (!swap) return swap.TakeError();
  const std::string file = dir + "/memory.swap.max";
  if (!changes.kernel().Exists(file)) {
    // Without swap accounting "no swap" and "no limit" cannot be set; no limit is what there is, and without
    // swap neither matters.
    if (*swap == kUnlimited || *swap == 0) return {};
    return base::SyscallFailed(EOPNOTSUPP, "a swap limit needs swap accounting, which this kernel lacks ('" +
                                               file + "' is missing)");
  }
  return changes.Set(file, MaxOrNumber(*swap), "swap limit");
}

}  // namespace

Result<void> MakeRoom(Kernel& kernel, const std::string& dir, std::int64_t limit) {
  if (limit == kUnlimited) return {};
  auto old_limit = ReadLimit(kernel, dir + "/memory.max");
  if (!old_limit) return old_limit.TakeError();
  if (*old_limit != kUnlimited && *old_limit <= limit) return {};
  auto used = ReadLimit(kernel, dir + "/memory.current");
  if (!used) return used.TakeError();
  if (*used <= limit) return {};
  // EAGAIN: less than asked for could be reclaimed; ENOENT: before 5.19. What counts is what is in use
  // afterwards.
  (void)kernel.Write(dir + "/memory.reclaim", std::to_string(*used - limit));
  used = ReadLimit(kernel, dir + "/memory.current");
  if (!used) return used.TakeError();
  if (*used <= limit) return {};
  return base::SyscallFailed(EBUSY, "memory limit of " + BytesText(static_cast<std::uint64_t>(limit)) +
                                        " is below what is in use and cannot be reclaimed: " +
                                        BytesText(static_cast<std::uint64_t>(*used)) + " in '" + dir + "'");
}

Result<void> ApplyMemory(const std::string& dir, const Resources& resources, Changes& changes) {
  if (!resources.memory_limit_bytes && !resources.memory_swap_limit_bytes) return {};
  const std::string file = dir + "/memory.max";
  if (auto there = NeedFile(changes.kernel(), file, "memory"); !there) return there;
  if (resources.memory_swap_limit_bytes) {
    std::int64_t memory = kUnlimited;
    if (resources.memory_limit_bytes) {
      memory = *resources.memory_limit_bytes;
    } else {
      auto limit = ReadLimit(changes.kernel(), file);
      if (!limit) return limit.TakeError();
      memory = *limit;
    }
    if (auto set = ApplySwap(dir, memory, *resources.memory_swap_limit_bytes, changes); !set) return set;
  }
  if (!resources.memory_limit_bytes) return {};
  if (auto room = MakeRoom(changes.kernel(), dir, *resources.memory_limit_bytes); !room) return room;
  return changes.Set(file, MaxOrNumber(*resources.memory_limit_bytes), "memory limit");
}

void ReadMemoryLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  auto memory = ReadLimit(kernel, dir + "/memory.max");
  if (!memory) return;
  limits.memory_limit_bytes = *memory;
  if (auto swap = ReadLimit(kernel, dir + "/memory.swap.max"))
    limits.memory_swap_limit_bytes = MemoryAndSwap(*memory, *swap);
}

void ParseMemoryStat(std::string_view text, MemoryStats& stats) {
  const std::uint64_t inactive = ParseKeyed(text, "inactive_file").value_or(0);
  stats.working_set_bytes = stats.usage_bytes > inactive ? stats.usage_bytes - inactive : 0;
  stats.rss_bytes = ParseKeyed(text, "anon").value_or(0);
  stats.page_faults = ParseKeyed(text, "pgfault").value_or(0);
  stats.major_page_faults = ParseKeyed(text, "pgmajfault").value_or(0);
}

}  // namespace berth::cgroupfs::v2
