// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/convert.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

Result<void> ApplyCpu(const std::string& dir, const Resources& resources, Changes& changes) {
  if (resources.cpu_shares) {
    const std::string file = dir + "/cpu.weight";
    if (auto there = NeedFile(changes.kernel(), file, "cpu"); !there) return there;
    if (auto set = changes.Set(file, std::to_string(WeightFromShares(*resources.cpu_shares)), "cpu weight");
        !set)
      return set;
  }
  if (!resources.cpu_quota_us && !resources.cpu_period_us) return {};
  const std::string file = dir + "/cpu.max";
  if (auto there = NeedFile(changes.kernel(), file, "cpu"); !there) return there;
  auto text = changes.kernel().Read(file);
  if (!text) return text.TakeError();
  const Bandwidth old = ParseCpuMax(*text).value_or(Bandwidth{});
  const std::string quota = MaxOrNumber(resources.cpu_quota_us.value_or(old.quota_us));
  return changes.Set(file, quota + " " + std::to_string(resources.cpu_period_us.value_or(old.period_us)),
                     "cpu quota");
}

void ReadCpuLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (auto text = kernel.Read(dir + "/cpu.weight")) {
    if (const auto weight = ParseNumber(*text)) limits.cpu_shares = SharesFromWeight(*weight);
  }
  if (auto text = kernel.Read(dir + "/cpu.max")) {
    if (const auto bandwidth = ParseCpuMax(*text)) {
      limits.cpu_quota_us = bandwidth->quota_us;
      limits.cpu_period_us = bandwidth->period_us;
    }
  }
}

std::optional<Bandwidth> ParseCpuMax(std::string_view text) {
  const auto words = SplitWords(text);
  if (words.size() != 2) return std::nullopt;
  const auto quota = ParseMaxOrNumber(words[0]);
  const auto period = ParseSigned(words[1]);
  if (!quota || !period) return std::nullopt;
  return Bandwidth{*quota, *period};
}

void ParseCpuStat(std::string_view text, CpuStats& stats) {
  stats.usage_ns = ParseKeyed(text, "usage_usec").value_or(0) * 1000;
  stats.user_ns = ParseKeyed(text, "user_usec").value_or(0) * 1000;
  stats.system_ns = ParseKeyed(text, "system_usec").value_or(0) * 1000;
  stats.periods = ParseKeyed(text, "nr_periods").value_or(0);
  stats.throttled_periods = ParseKeyed(text, "nr_throttled").value_or(0);
  stats.throttled_ns = ParseKeyed(text, "throttled_usec").value_or(0) * 1000;
}

}  // namespace berth::cgroupfs::v2
