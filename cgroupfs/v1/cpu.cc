// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

using base::Result;

namespace {

// Quota and period are two files, and after each write the kernel holds their ratio against the parent's and
// the children's. With no quota in between neither can be violated: "no quota" counts as the parent's.
Result<void> ApplyBandwidth(const std::string& dir, const Resources& resources, Changes& changes) {
  const std::string quota_file = dir + "/cpu.cfs_quota_us";
  const std::string period_file = dir + "/cpu.cfs_period_us";
  auto quota_text = changes.kernel().Read(quota_file);
  if (!quota_text) return quota_text.TakeError();
  auto period_text = changes.kernel().Read(period_file);
  if (!period_text) return period_text.TakeError();
  const std::int64_t old_quota = ParseSigned(*quota_text).value_or(kUnlimited);
  const std::int64_t quota = resources.cpu_quota_us.value_or(old_quota);
  if (resources.cpu_period_us && ParseSigned(*period_text) != resources.cpu_period_us) {
    if (old_quota != kUnlimited) {
      if (auto set = changes.Set(quota_file, "-1", "cpu quota"); !set) return set;
    }
    const std::string period = std::to_string(*resources.cpu_period_us);
    if (auto set = changes.Set(period_file, period, "cpu period"); !set) return set;
    if (quota == kUnlimited) return {};
    return changes.Set(quota_file, std::to_string(quota), "cpu quota");
  }
  if (!resources.cpu_quota_us) return {};
  return changes.Set(quota_file, std::to_string(quota), "cpu quota");
}

}  // namespace

Result<void> ApplyCpu(const std::string& dir, const Resources& resources, Changes& changes) {
  const bool bandwidth = resources.cpu_quota_us || resources.cpu_period_us;
  if (!resources.cpu_shares && !bandwidth) return {};
  if (dir.empty())
    return base::SyscallFailed(EOPNOTSUPP,
                               "cpu limits need the cgroup controller 'cpu', which is not mounted here");
  if (resources.cpu_shares) {
    if (auto set = changes.Set(dir + "/cpu.shares", std::to_string(*resources.cpu_shares), "cpu shares");
        !set)
      return set;
  }
  return bandwidth ? ApplyBandwidth(dir, resources, changes) : Result<void>();
}

void ReadCpuLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (dir.empty()) return;
  if (auto text = kernel.Read(dir + "/cpu.shares")) limits.cpu_shares = ParseSigned(*text);
  if (auto text = kernel.Read(dir + "/cpu.cfs_quota_us")) limits.cpu_quota_us = ParseSigned(*text);
  if (auto text = kernel.Read(dir + "/cpu.cfs_period_us")) limits.cpu_period_us = ParseSigned(*text);
}

void ParseCpuStats(std::string_view usage, std::string_view acct_stat, std::string_view cpu_stat,
                   long ticks_per_second, CpuStats& stats) {
  const std::uint64_t tick_ns =
      static_cast<std::uint64_t>(base::kSecondNs) / static_cast<std::uint64_t>(ticks_per_second);
  stats.usage_ns = ParseNumber(usage).value_or(0);
  stats.user_ns = ParseKeyed(acct_stat, "user").value_or(0) * tick_ns;
  stats.system_ns = ParseKeyed(acct_stat, "system").value_or(0) * tick_ns;
  stats.periods = ParseKeyed(cpu_stat, "nr_periods").value_or(0);
  stats.throttled_periods = ParseKeyed(cpu_stat, "nr_throttled").value_or(0);
  stats.throttled_ns = ParseKeyed(cpu_stat, "throttled_time").value_or(0);
}

}  // namespace berth::cgroupfs::v1
