// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace berth::cgroupfs {

inline constexpr std::int64_t kUnlimited = -1;

struct HugepageLimit {
  std::string page_size;  // "2MB", "1GB": the kernel's file spelling
  std::uint64_t limit_bytes = 0;
};

// Limits of one cgroup in CRI's terms (cgroup v1 numbers). nullopt: leave as it is (at creation: the kernel's
// default).
struct Resources {
  std::optional<std::int64_t> cpu_shares;    // 2..262144
  std::optional<std::int64_t> cpu_quota_us;  // kUnlimited: no quota
  std::optional<std::int64_t> cpu_period_us;
  std::optional<std::int64_t> memory_limit_bytes;  // kUnlimited: none
  std::optional<std::int64_t>
      memory_swap_limit_bytes;             // memory + swap together, as CRI and v1 count; kUnlimited: none
  std::optional<std::int64_t> pids_limit;  // kUnlimited: none
  std::string cpuset_cpus;                 // "" = leave
  std::string cpuset_mems;
  std::vector<HugepageLimit> hugepage_limits;  // zero limits of an absent controller are dropped
  std::map<std::string, std::string> unified;  // v2 only: file → value
};

}  // namespace berth::cgroupfs
