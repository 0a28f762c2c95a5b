// SPDX-License-Identifier: Apache-2.0
#include "runtime/pod_cgroup.h"

#include <gtest/gtest.h>

namespace berth::runtime {
namespace {

constexpr std::int64_t kMi = 1 << 20;

PodConfig Pod(const std::string& uid = "u1") {
  PodConfig config;
  config.metadata.uid = uid;
  return config;
}

cgroupfs::Resources Limits(std::optional<std::int64_t> memory,
                           std::optional<std::int64_t> quota = std::nullopt) {
  cgroupfs::Resources resources;
  resources.memory_limit_bytes = memory;
  resources.cpu_quota_us = quota;
  return resources;
}

TEST(PodCgroupPath, TakesTheParentOfTheRequestLiterally) {
  PodConfig config = Pod();
  config.cgroup_parent = "/kubepods/burstable/podx";
  EXPECT_EQ(PodCgroupPath(config, "/tree"), "/kubepods/burstable/podx");
}

TEST(PodCgroupPath, PutsAPodWithoutResourcesIntoBesteffort) {
  EXPECT_EQ(PodCgroupPath(Pod(), "/"), "/kubepods/besteffort/podu1");
  EXPECT_EQ(PodCgroupPath(Pod(), "/tree"), "/tree/kubepods/besteffort/podu1");
}

TEST(PodCgroupPath, PutsEqualRequestsAndLimitsIntoGuaranteed) {
  PodConfig config = Pod();
  config.resources = Limits(100 * kMi, 50'000);
  config.resources->cpu_period_us = 100'000;
  config.resources->cpu_shares = 512;
  EXPECT_EQ(PodCgroupPath(config, "/"), "/kubepods/podu1");
  config.resources->cpu_shares = 256;
  EXPECT_EQ(PodCgroupPath(config, "/"), "/kubepods/burstable/podu1");
}

TEST(PodLimits, AreTheSumOfTheContainers) {
  const auto limits = PodLimits(Pod(), {Limits(50 * kMi, 20'000), Limits(30 * kMi, 30'000)});
  EXPECT_EQ(limits.memory_limit_bytes, 80 * kMi);
  EXPECT_EQ(limits.cpu_quota_us, 50'000);
}

TEST(PodLimits, AreLiftedByAContainerWithout) {
  const auto limits = PodLimits(Pod(), {Limits(50 * kMi, 20'000), Limits(std::nullopt)});
  EXPECT_EQ(limits.memory_limit_bytes, cgroupfs::kUnlimited);
  EXPECT_EQ(limits.cpu_quota_us, cgroupfs::kUnlimited);
}

TEST(PodLimits, AddQuotasOfDifferentPeriodsAsSharesOfACore) {
  auto slow = Limits(50 * kMi, 100'000);
  slow.cpu_period_us = 200'000;
  EXPECT_EQ(PodLimits(Pod(), {slow, Limits(50 * kMi, 10'000)}).cpu_quota_us, 60'000);
}

TEST(PodLimits, AreTheSandboxOwnWhenItHasSome) {
  PodConfig config = Pod();
  config.resources = Limits(64 * kMi);
  EXPECT_EQ(PodLimits(config, {Limits(50 * kMi), Limits(30 * kMi)}).memory_limit_bytes, 64 * kMi);
}

TEST(PodLimits, HoldEverythingThatTheSandboxNames) {
  PodConfig config = Pod();
  config.resources = Limits(64 * kMi);
  config.resources->memory_swap_limit_bytes = 80 * kMi;
  config.resources->pids_limit = 77;
  config.resources->cpuset_cpus = "0";
  config.resources->hugepage_limits = {{"2MB", 4 << 20}};
  config.resources->unified = {{"memory.high", "1000"}};
  for (const bool with_memory : {true, false}) {
    if (!with_memory) config.resources->memory_limit_bytes.reset();
    const auto limits = PodLimits(config, {Limits(50 * kMi)});
    EXPECT_EQ(limits.memory_limit_bytes, with_memory ? 64 * kMi : 50 * kMi);
    EXPECT_EQ(limits.memory_swap_limit_bytes, 80 * kMi);
    EXPECT_EQ(limits.pids_limit, 77);
    EXPECT_EQ(limits.cpuset_cpus, "0");
    ASSERT_EQ(limits.hugepage_limits.size(), 1U);
    EXPECT_EQ(limits.hugepage_limits[0].limit_bytes, 4U << 20);
    EXPECT_EQ(limits.unified.at("memory.high"), "1000");
  }
}

TEST(PodLimits, AreNoneForAnEmptyPod) {
  EXPECT_EQ(PodLimits(Pod(), {}).memory_limit_bytes, cgroupfs::kUnlimited);
}

}  // namespace
}  // namespace berth::runtime
