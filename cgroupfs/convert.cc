// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/convert.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/text.h"

namespace berth::cgroupfs {
namespace {

base::Error Invalid(std::string what) { return base::SyscallFailed(EINVAL, std::move(what)); }

base::Result<void> Limit(const std::optional<std::int64_t>& value, std::string_view name) {
  if (value && *value < kUnlimited)
    return Invalid(std::string(name) + " " + std::to_string(*value) + " is negative");
  return {};
}

base::Result<void> List(const std::string& value, std::string_view name) {
  if (!value.empty() && !IsCpuList(value))
    return Invalid(std::string(name) + " '" + value + "' is no list like '0-3,6'");
  return {};
}

}  // namespace

std::uint64_t WeightFromShares(std::int64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  const double weight = std::ceil(std::pow(10.0, (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0));
  return static_cast<std::uint64_t>(std::clamp(weight, 1.0, 10000.0));
}

std::int64_t SharesFromWeight(std::uint64_t weight) {
  if (weight <= 1) return 2;
  if (weight >= 10000) return 262144;
  // l² + 125·l − 612·(log10(weight) + 7/34) = 0
  const double c = 612.0 * (std::log10(static_cast<double>(weight)) + 7.0 / 34.0);
  const double l = (-125.0 + std::sqrt(125.0 * 125.0 + 4.0 * c)) / 2.0;
  // Rounded down: the curve is rounded up, so what is at most the exact solution maps back to this weight.
  const double shares = std::exp2(l);
  const double nearest = std::round(shares);
  return static_cast<std::int64_t>(std::abs(shares - nearest) < 1e-6 ? nearest : std::floor(shares));
}

base::Result<std::int64_t> SwapAlone(std::int64_t memory, std::int64_t memory_and_swap) {
  if (memory_and_swap == kUnlimited) return kUnlimited;
  if (memory == kUnlimited) {
    return Invalid("memory and swap together are limited to " +
                   BytesText(static_cast<std::uint64_t>(memory_and_swap)) +
                   ", but memory alone is not limited");
  }
  if (memory_and_swap < memory) {
    return Invalid("limit of memory and swap together, " +
                   BytesText(static_cast<std::uint64_t>(memory_and_swap)) + ", is below the memory limit, " +
                   BytesText(static_cast<std::uint64_t>(memory)));
  }
  return memory_and_swap - memory;
}

std::int64_t MemoryAndSwap(std::int64_t memory, std::int64_t swap_alone) {
  return memory == kUnlimited || swap_alone == kUnlimited ? kUnlimited : memory + swap_alone;
}

std::string MaxOrNumber(std::int64_t value) { return value == kUnlimited ? "max" : std::to_string(value); }

Resources WithoutZeros(Resources resources) {
  for (auto* value :
       {&resources.cpu_shares, &resources.cpu_quota_us, &resources.cpu_period_us,
        &resources.memory_limit_bytes, &resources.memory_swap_limit_bytes, &resources.pids_limit}) {
    if (*value == 0) value->reset();
  }
  return resources;
}

base::Result<void> ValidateResources(const Resources& resources) {
  if (resources.cpu_shares && *resources.cpu_shares < 0) {
    return Invalid("cpu shares " + std::to_string(*resources.cpu_shares) + " are negative");
  }
  // tg_set_cfs_bandwidth: 1 ms is the least of both, 1 s the most of a period.
  if (resources.cpu_quota_us && *resources.cpu_quota_us != kUnlimited && *resources.cpu_quota_us < 1000) {
    return Invalid("cpu quota of " + std::to_string(*resources.cpu_quota_us) +
                   " us is below the kernel's least of 1000 us");
  }
  if (resources.cpu_period_us && (*resources.cpu_period_us < 1000 || *resources.cpu_period_us > 1000000)) {
    return Invalid("cpu period of " + std::to_string(*resources.cpu_period_us) +
                   " us is not between 1000 and 1000000 us");
  }
  if (auto ok = Limit(resources.memory_limit_bytes, "memory limit"); !ok) return ok;
  if (auto ok = Limit(resources.memory_swap_limit_bytes, "limit of memory and swap together"); !ok) return ok;
  if (auto ok = Limit(resources.pids_limit, "pids limit"); !ok) return ok;
  if (auto ok = List(resources.cpuset_cpus, "cpuset cpus"); !ok) return ok;
  if (auto ok = List(resources.cpuset_mems, "cpuset mems"); !ok) return ok;
  for (const auto& limit : resources.hugepage_limits) {
    if (limit.page_size.empty() || !std::all_of(limit.page_size.begin(), limit.page_size.end(), [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
        })) {
      return Invalid("page size '" + limit.page_size + "' of a hugepage limit is not like '2MB' or '1GB'");
    }
  }
  return {};
}

}  // namespace berth::cgroupfs
