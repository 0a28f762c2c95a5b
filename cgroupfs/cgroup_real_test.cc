// SPDX-License-Identifier: Apache-2.0
// Asks this host's kernel, in a sub-tree of its own: /berth-test-cgroupfs-<pid>. Runs on v1 and on v2; what
// only one of them has is skipped on the other with a sentence. On a hybrid host all runs a second time on
// its v2 tree, as if that were all there is: the controllers are missing there, but the rules of the tree,
// freezing and killing are the real ones.
#include "cgroupfs/testing/real_fixture.h"
#include "gmock/gmock.h"

namespace berth::cgroupfs {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Trees, CgroupRealTest, ::testing::Values(Tree::kHosts, Tree::kHybridsV2),
                         [](const auto& tree) { return tree.param == Tree::kHosts ? "Hosts" : "HybridsV2"; });

TEST_P(CgroupRealTest, MakingACgroupTwiceSaysWhoMadeItAndMakesItsParents) {
  auto cgroup = At(root_ + "/pod/container");
  EXPECT_FALSE(cgroup->Exists());
  auto first = cgroup->Create();
  ASSERT_TRUE(first.ok()) << first.error().Message();
  EXPECT_TRUE(*first);
  EXPECT_TRUE(cgroup->Exists());
  auto second = cgroup->Create();
  ASSERT_TRUE(second.ok()) << second.error().Message();
  EXPECT_FALSE(*second);
  EXPECT_TRUE(At(root_ + "/pod")->Exists());
}

TEST_P(CgroupRealTest, AProcessCanJoinANewCgroupAndIsListedInItAndAbove) {
  auto cgroup = Made("pod/container");
  const Process process(*cgroup);
  ASSERT_TRUE(process.is_ready());
  auto own = cgroup->Processes();
  ASSERT_TRUE(own.ok()) << own.error().Message();
  EXPECT_THAT(*own, ::testing::ElementsAre(process.pid()));
  auto above = At(root_ + "/pod")->Processes();
  ASSERT_TRUE(above.ok());
  EXPECT_THAT(*above, ::testing::ElementsAre(process.pid()));
}

TEST_P(CgroupRealTest, JoinMovesAnotherProcess) {
  auto from = Made("from");
  auto to = Made("to");
  const Process process(*from);
  ASSERT_TRUE(process.is_ready());
  auto joined = to->Join(process.pid());
  ASSERT_TRUE(joined.ok()) << joined.error().Message();
  EXPECT_TRUE(from->Processes()->empty());
  EXPECT_THAT(*to->Processes(), ::testing::ElementsAre(process.pid()));
}

TEST_P(CgroupRealTest, LimitsReadBackAsTheyWereApplied) {
  NEED_CONTROLLER("memory");
  NEED_CONTROLLER("cpu");
  NEED_CONTROLLER("pids");
  auto cgroup = Made("limits");
  Resources wanted;
  wanted.cpu_shares = 1024;
  wanted.cpu_quota_us = 50000;
  wanted.cpu_period_us = 100000;
  wanted.memory_limit_bytes = 52428800;
  wanted.memory_swap_limit_bytes = 52428800;
  wanted.pids_limit = 100;
  wanted.hugepage_limits = {{"2MB", 0}, {"1GB", 0}};
  auto applied = cgroup->Apply(wanted);
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  auto limits = cgroup->ReadLimits();
  ASSERT_TRUE(limits.ok()) << limits.error().Message();
  EXPECT_EQ(limits->cpu_shares, 1024);
  EXPECT_EQ(limits->cpu_quota_us, 50000);
  EXPECT_EQ(limits->cpu_period_us, 100000);
  EXPECT_EQ(limits->memory_limit_bytes, 52428800);
  if (limits->memory_swap_limit_bytes) {
    EXPECT_EQ(limits->memory_swap_limit_bytes, 52428800);
  }
  EXPECT_EQ(limits->pids_limit, 100);
}

TEST_P(CgroupRealTest, MemoryAndSwapCanBeRaisedAndLoweredTogetherAndLifted) {
  NEED_CONTROLLER("memory");
  auto cgroup = Made("steps");
  for (const std::int64_t mib : {50, 100, 20, 300}) {
    Resources step;
    step.memory_limit_bytes = mib * kMiB;
    step.memory_swap_limit_bytes = mib * kMiB;
    auto applied = cgroup->Apply(step);
    ASSERT_TRUE(applied.ok()) << mib << ": " << applied.error().Message();
    EXPECT_EQ(cgroup->ReadLimits()->memory_limit_bytes, mib * kMiB);
  }
  Resources lifted;
  lifted.memory_limit_bytes = kUnlimited;
  lifted.memory_swap_limit_bytes = kUnlimited;
  auto applied = cgroup->Apply(lifted);
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  EXPECT_EQ(cgroup->ReadLimits()->memory_limit_bytes, kUnlimited);
}

TEST_P(CgroupRealTest, AMemoryLimitAboveTheOldSumOfMemoryAndSwapIsSet) {
  NEED_CONTROLLER("memory");
  auto cgroup = Made("alone");
  Resources both;
  both.memory_limit_bytes = 50 * kMiB;
  both.memory_swap_limit_bytes = 50 * kMiB;
  ASSERT_TRUE(cgroup->Apply(both).ok());
  Resources memory_alone;
  memory_alone.memory_limit_bytes = 80 * kMiB;
  auto applied = cgroup->Apply(memory_alone);
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  EXPECT_EQ(cgroup->ReadLimits()->memory_limit_bytes, 80 * kMiB);
}

TEST_P(CgroupRealTest, QuotaAndPeriodChangeTogetherInsideAParentAndAroundAChildAtTheirLimits) {
  NEED_CONTROLLER("cpu");
  auto parent = Made("cpu");
  Resources half;
  half.cpu_quota_us = 50000;
  half.cpu_period_us = 100000;
  ASSERT_TRUE(parent->Apply(half).ok());
  auto child = Made("cpu/child");
  ASSERT_TRUE(child->Apply(half).ok());
  Resources same_ratio;
  same_ratio.cpu_quota_us = 100000;
  same_ratio.cpu_period_us = 200000;
  for (auto* cgroup : {parent.get(), child.get()}) {
    auto applied = cgroup->Apply(same_ratio);
    ASSERT_TRUE(applied.ok()) << cgroup->path() << ": " << applied.error().Message();
    EXPECT_EQ(cgroup->ReadLimits()->cpu_period_us, 200000);
    EXPECT_EQ(cgroup->ReadLimits()->cpu_quota_us, 100000);
    applied = cgroup->Apply(half);
    ASSERT_TRUE(applied.ok()) << cgroup->path() << ": " << applied.error().Message();
  }
}

TEST_P(CgroupRealTest, LoweringMemoryBelowWhatIsUsedIsRefusedWithBothNumbersAndNothingChanges) {
  NEED_CONTROLLER("memory");
  NEED_CONTROLLER("cpu");
  auto cgroup = Made("lower");
  Resources roomy;
  roomy.memory_limit_bytes = 200 * kMiB;
  roomy.memory_swap_limit_bytes = 200 * kMiB;
  roomy.cpu_shares = 512;
  ASSERT_TRUE(cgroup->Apply(roomy).ok());
  const auto before = cgroup->ReadLimits();
  const Process process(*cgroup, [] { Eat(64 * kMiB); });
  ASSERT_TRUE(process.is_ready());
  Resources tight;
  tight.cpu_shares = 256;
  tight.memory_limit_bytes = 20 * kMiB;
  tight.memory_swap_limit_bytes = 20 * kMiB;
  auto applied = cgroup->Apply(tight);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EBUSY);
  EXPECT_THAT(applied.error().what, HasSubstr("20.0 MiB (20971520 bytes)"));
  EXPECT_THAT(applied.error().what, AnyOf(HasSubstr(": 6"), HasSubstr(": 7")));  // 64 MiB and a little
  const auto after = cgroup->ReadLimits();
  EXPECT_EQ(after->memory_limit_bytes, before->memory_limit_bytes);
  EXPECT_EQ(after->memory_swap_limit_bytes, before->memory_swap_limit_bytes);
  EXPECT_EQ(after->cpu_shares, before->cpu_shares);
  EXPECT_EQ(::kill(process.pid(), 0), 0) << "the refusal killed the process";
}

TEST_P(CgroupRealTest, AnOomKillIsCounted) {
  NEED_CONTROLLER("memory");
  auto cgroup = Made("oom");
  Resources small;
  small.memory_limit_bytes = 20 * kMiB;
  small.memory_swap_limit_bytes = 20 * kMiB;
  ASSERT_TRUE(cgroup->Apply(small).ok());
  const auto before = cgroup->ReadOomCounters();
  ASSERT_TRUE(before.ok()) << before.error().Message();
  EXPECT_EQ(before->oom_kill, 0u);
  Process process(*cgroup, [] {
    std::ofstream("/proc/self/oom_score_adj") << "1000";
    Eat(64 * kMiB);
  });
  const int status = process.Wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  const auto after = cgroup->ReadOomCounters();
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->oom_kill, 1u);
  EXPECT_EQ(after->oom_kill_tree, 1u);
  if (!IsV1()) {
    EXPECT_GE(after->oom_local.value_or(0), 1u);
  }
  const auto stats = cgroup->ReadStats();
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->memory.limit_bytes, 20u * kMiB);
  if (stats->memory.peak_bytes) {
    EXPECT_GT(*stats->memory.peak_bytes, 19u * kMiB);
  }
}

TEST_P(CgroupRealTest, StatsGrowWithWork) {
  NEED_CONTROLLER("memory");
  auto cgroup = Made("stats");
  const Process process(*cgroup, [] {
    Eat(32 * kMiB);
    const std::int64_t until = base::MonotonicNs() + 100 * base::kMillisecondNs;
    while (base::MonotonicNs() < until) {
    }
  });
  ASSERT_TRUE(process.is_ready());
  const std::int64_t before = base::RealtimeNs();
  const auto stats = cgroup->ReadStats();
  ASSERT_TRUE(stats.ok()) << stats.error().Message();
  EXPECT_GE(stats->cpu.timestamp_ns, before);
  EXPECT_GT(stats->cpu.usage_ns, 20u * base::kMillisecondNs);
  EXPECT_GE(stats->memory.timestamp_ns, before);
  EXPECT_GT(stats->memory.usage_bytes, 32u * kMiB);
  EXPECT_GT(stats->memory.working_set_bytes, 31u * kMiB);
  EXPECT_LE(stats->memory.working_set_bytes, stats->memory.usage_bytes);
  EXPECT_GT(stats->memory.rss_bytes, 31u * kMiB);
  EXPECT_GT(stats->memory.page_faults, 0u);
  EXPECT_FALSE(stats->memory.limit_bytes.has_value());
  ASSERT_TRUE(stats->pids.has_value());
  EXPECT_EQ(stats->pids->current, 1u);
}

}  // namespace
}  // namespace berth::cgroupfs
