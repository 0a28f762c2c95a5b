// SPDX-License-Identifier: Apache-2.0
// cgroup v2 on a model of the kernel.
#include <cerrno>
#include <memory>
#include <string>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/detect.h"
#include "cgroupfs/testing/fake_kernel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth::cgroupfs {
namespace {

using base::Deadline;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kRoot[] = "/sys/fs/cgroup/";

class V2Test : public ::testing::Test {
 protected:
  V2Test() : host_(*DetectWith(kernel_, "")) {}
  std::unique_ptr<Cgroup> Made(const std::string& path) {
    auto cgroup = host_->At(path);
    EXPECT_TRUE(cgroup.ok());
    auto made = (*cgroup)->Create();
    EXPECT_TRUE(made.ok()) << made.error().Message();
    kernel_->ClearLog();
    return std::move(*cgroup);
  }
  std::string File(const std::string& rest) { return kernel_->Content(kRoot + rest); }
  void Put(const std::string& rest, const std::string& content) { kernel_->Put(kRoot + rest, content); }

  std::shared_ptr<FakeKernel> kernel_ = FakeKernel::V2();
  std::shared_ptr<const Host> host_;
};

Resources Memory(std::int64_t memory, std::optional<std::int64_t> both) {
  Resources resources;
  resources.memory_limit_bytes = memory;
  resources.memory_swap_limit_bytes = both;
  return resources;
}

TEST_F(V2Test, ControllersAreEnabledOnTheWayDownButNotInTheCgroupItself) {
  Made("/kubepods/pod/c");
  for (const char* dir : {"", "kubepods/", "kubepods/pod/"}) {
    EXPECT_EQ(File(std::string(dir) + "cgroup.subtree_control"), "cpuset cpu io memory hugetlb pids") << dir;
  }
  EXPECT_EQ(File("kubepods/pod/c/cgroup.subtree_control"), "");
  EXPECT_TRUE(kernel_->Exists(std::string(kRoot) + "kubepods/pod/c/memory.max"));
}

TEST_F(V2Test, WhatIsEnabledAlreadyIsNotWrittenAgain) {
  Made("/pod/a");
  auto made = (*host_->At("/pod/b"))->Create();
  ASSERT_TRUE(made.ok());
  EXPECT_THAT(kernel_->Log(), IsEmpty());
}

TEST_F(V2Test, AParentWithProcessesOfItsOwnIsToldWithItsPidsAndNothingIsLeft) {
  Made("/pod");
  Put("pod/cgroup.procs", "55\n");
  auto made = (*host_->At("/pod/c"))->Create();
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().err, EBUSY);
  EXPECT_THAT(made.error().what, HasSubstr("no internal processes"));
  EXPECT_THAT(made.error().what, HasSubstr(": 55;"));
  EXPECT_FALSE(kernel_->Exists(std::string(kRoot) + "pod/c"));
}

TEST_F(V2Test, AnExecsCgroupLeavesTheContainersProcessesWhereTheyAre) {
  Made("/pod/c");
  Put("pod/c/cgroup.procs", "55\n");
  auto exec = *host_->ExecAt("/pod/c/exec-1");
  auto made = exec->Create();
  ASSERT_TRUE(made.ok()) << made.error().Message();
  EXPECT_EQ(File("pod/c/cgroup.subtree_control"), "");
  EXPECT_FALSE(kernel_->Exists(std::string(kRoot) + "pod/c/exec-1/memory.max"));
}

TEST_F(V2Test, LimitsAreWrittenInTheFilesOwnTerms) {
  auto cgroup = Made("/c");
  Resources resources = Memory(100 << 20, 150 << 20);
  resources.cpu_shares = 1024;
  resources.cpu_quota_us = 50000;
  resources.pids_limit = 7;
  resources.cpuset_cpus = "0-1";
  resources.hugepage_limits = {{"2MB", 4 << 20}, {"64KB", 0}};
  resources.unified = {{"memory.oom.group", "1"}};
  auto applied = cgroup->Apply(resources);
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  EXPECT_EQ(File("c/cpu.weight"), "100");
  EXPECT_EQ(File("c/cpu.max"), "50000 100000");
  EXPECT_EQ(File("c/memory.max"), "104857600");
  EXPECT_EQ(File("c/memory.swap.max"), "52428800");
  EXPECT_EQ(File("c/pids.max"), "7");
  EXPECT_EQ(File("c/cpuset.cpus"), "0-1");
  EXPECT_EQ(File("c/hugetlb.2MB.max"), "4194304");
  EXPECT_EQ(File("c/hugetlb.2MB.rsvd.max"), "4194304");
  EXPECT_EQ(File("c/memory.oom.group"), "1");
  const auto limits = cgroup->ReadLimits();
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->cpu_shares, 1024);
  EXPECT_EQ(limits->cpu_quota_us, 50000);
  EXPECT_EQ(limits->memory_limit_bytes, 100 << 20);
  EXPECT_EQ(limits->memory_swap_limit_bytes, 150 << 20);
  EXPECT_EQ(limits->pids_limit, 7);
  ASSERT_EQ(limits->hugepage_limits.size(), 1u);
  EXPECT_EQ(limits->hugepage_limits[0].page_size, "2MB");
}

TEST_F(V2Test, AQuotaAloneKeepsThePeriodAndAPeriodAloneTheQuota) {
  auto cgroup = Made("/c");
  Put("c/cpu.max", "40000 50000\n");
  Resources quota;
  quota.cpu_quota_us = kUnlimited;
  ASSERT_TRUE(cgroup->Apply(quota).ok());
  EXPECT_EQ(File("c/cpu.max"), "max 50000");
  Resources period;
  period.cpu_period_us = 20000;
  ASSERT_TRUE(cgroup->Apply(period).ok());
  EXPECT_EQ(File("c/cpu.max"), "max 20000");
}

TEST_F(V2Test, LoweringMemoryBelowWhatIsUsedIsRefusedBeforeTheKernelCanKill) {
  auto cgroup = Made("/c");
  ASSERT_TRUE(cgroup->Apply(Memory(200 << 20, 200 << 20)).ok());
  Put("c/memory.current", "67108864\n");
  kernel_->ClearLog();
  Resources tight = Memory(20 << 20, 20 << 20);
  tight.cpu_shares = 2;
  auto applied = cgroup->Apply(tight);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EBUSY);
  EXPECT_THAT(applied.error().what, HasSubstr("20.0 MiB (20971520 bytes)"));
  EXPECT_THAT(applied.error().what, HasSubstr("64.0 MiB (67108864 bytes)"));
  EXPECT_THAT(kernel_->Log(), Not(Contains("memory.max=20971520")));
  EXPECT_EQ(File("c/memory.max"), "209715200");
  EXPECT_EQ(File("c/cpu.weight"), "100") << "put back";
}

TEST_F(V2Test, MemoryThatCanBeReclaimedIsReclaimedFirst) {
  auto cgroup = Made("/c");
  Put("c/memory.current", "67108864\n");
  kernel_->on_write = [&](const std::string& file, std::string_view value) {
    if (file.ends_with("memory.reclaim")) {
      EXPECT_EQ(value, "46137344");
      Put("c/memory.current", "10000000\n");
    }
  };
  auto applied = cgroup->Apply(Memory(20 << 20, std::nullopt));
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  EXPECT_EQ(File("c/memory.max"), "20971520");
}

TEST_F(V2Test, ALimitThatIsSetAgainOrRaisedNeedsNoRoom) {
  auto cgroup = Made("/c");
  ASSERT_TRUE(cgroup->Apply(Memory(20 << 20, std::nullopt)).ok());
  Put("c/memory.current", "20979712\n");  // charged in batches: a little above is normal
  EXPECT_TRUE(cgroup->Apply(Memory(20 << 20, std::nullopt)).ok());
  EXPECT_TRUE(cgroup->Apply(Memory(21 << 20, std::nullopt)).ok());
}

TEST_F(V2Test, AMemoryLimitThroughUnifiedIsWatchedTheSame) {
  auto cgroup = Made("/c");
  Put("c/memory.current", "67108864\n");
  Resources resources;
  resources.unified = {{"memory.max", "1048576"}};
  auto applied = cgroup->Apply(resources);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EBUSY);
  EXPECT_EQ(File("c/memory.max"), "max");
}

TEST_F(V2Test, UnifiedKeysThatAreNoFilesAreRefusedBeforeAnyWriteAndAFailingOneIsUndone) {
  auto cgroup = Made("/c");
  Resources resources;
  resources.cpu_shares = 2;
  resources.unified = {{"../c2/memory.max", "1"}};
  EXPECT_EQ(cgroup->Apply(resources).error().err, EINVAL);
  EXPECT_THAT(kernel_->Log(), IsEmpty());
  resources.unified = {{"memory.high", "100"}, {"memory.oom.group", "7"}, {"rdma.max", "x"}};
  auto applied = cgroup->Apply(resources);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EOPNOTSUPP);
  EXPECT_THAT(applied.error().what, HasSubstr("unified key 'rdma.max'"));
  EXPECT_EQ(File("c/memory.high"), "max");
  EXPECT_EQ(File("c/memory.oom.group"), "0");
  EXPECT_EQ(File("c/cpu.weight"), "100");
}

TEST_F(V2Test, NoSwapIsDroppedWhereSwapIsNotCounted) {
  auto cgroup = Made("/c");
  kernel_->Drop(std::string(kRoot) + "c/memory.swap.max");
  Resources none = Memory(100, 100);
  none.unified = {{"memory.swap.max", "0"}};
  EXPECT_TRUE(cgroup->Apply(none).ok());
  EXPECT_EQ(cgroup->Apply(Memory(100, 150)).error().err, EOPNOTSUPP);
}

TEST_F(V2Test, AControllerThatIsNotEnabledIsNamed) {
  kernel_->Put("/sys/fs/cgroup/cgroup.controllers", "cpu pids\n");
  auto cgroup = Made("/c");
  auto applied = cgroup->Apply(Memory(100, std::nullopt));
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EOPNOTSUPP);
  EXPECT_THAT(applied.error().what, HasSubstr("'memory'"));
}

TEST_F(V2Test, KillingIsOneWrite) {
  auto cgroup = Made("/c");
  Put("c/cgroup.procs", "7\n");
  Put("c/cgroup.events", "populated 1\nfrozen 0\n");
  kernel_->on_write = [&](const std::string& file, std::string_view) {
    if (file.ends_with("cgroup.kill")) Put("c/cgroup.events", "populated 0\nfrozen 0\n");
  };
  ASSERT_TRUE(cgroup->KillAll(Deadline::Never()).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("cgroup.kill=1"));
}

TEST_F(V2Test, WhoDoesNotDieIsNamed) {
  auto cgroup = Made("/c");
  Put("c/cgroup.procs", "7\n");
  Put("c/cgroup.events", "populated 1\nfrozen 0\n");
  auto killed = cgroup->KillAll(Deadline::After(0));
  ASSERT_FALSE(killed.ok());
  EXPECT_EQ(killed.error().err, ETIMEDOUT);
  EXPECT_THAT(killed.error().what, HasSubstr("processes 7 do not die"));
}

TEST_F(V2Test, AKernelWithoutCgroupKillFreezesKillsAndThaws) {
  auto cgroup = Made("/c");
  kernel_->Drop(std::string(kRoot) + "c/cgroup.kill");
  Put("c/cgroup.procs", "7\n");
  Put("c/cgroup.events", "populated 1\nfrozen 1\n");
  kernel_->on_sleep = [&] { Put("c/cgroup.procs", ""); };
  ASSERT_TRUE(cgroup->KillAll(Deadline::Never()).ok());
  EXPECT_THAT(kernel_->killed, ElementsAre(7));
  EXPECT_THAT(kernel_->Log(), ElementsAre("cgroup.freeze=1", "SIGKILL", "cgroup.freeze=0"));
}

TEST_F(V2Test, OurOwnCgroupAndTheWholeHostAreNeverKilled) {
  auto cgroup = Made("/c");
  Put("c/deep/cgroup.procs", "1000\n");
  EXPECT_EQ(cgroup->KillAll(Deadline::Never()).error().err, EBUSY);
  EXPECT_EQ((*host_->At("/"))->KillAll(Deadline::Never()).error().err, EINVAL);
  EXPECT_THAT(kernel_->Log(), IsEmpty());
}

TEST_F(V2Test, FreezingThatDoesNotSucceedIsUndone) {
  auto cgroup = Made("/c");
  EXPECT_EQ(cgroup->Freeze(Deadline::After(0)).error().err, ETIMEDOUT);
  EXPECT_EQ(File("c/cgroup.freeze"), "0");
}

TEST_F(V2Test, OomCountersSayWhoseLimitItWas) {
  auto cgroup = Made("/c");
  Put("c/memory.events", "oom 3\noom_kill 2\n");
  Put("c/memory.events.local", "oom 1\noom_kill 0\n");
  const auto counters = cgroup->ReadOomCounters();
  ASSERT_TRUE(counters.ok());
  EXPECT_EQ(counters->oom_kill, 0u);
  EXPECT_EQ(counters->oom_kill_tree, 2u);
  EXPECT_EQ(counters->oom_local, 1u);
}

TEST_F(V2Test, StatsWithPressureAndWithout) {
  auto cgroup = Made("/c");
  Put("c/cpu.stat", "usage_usec 5\n");
  Put("c/memory.current", "1000\n");
  Put("c/memory.peak", "2000\n");
  Put("c/memory.max", "4096\n");
  Put("c/pids.current", "3\n");
  auto stats = cgroup->ReadStats();
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->cpu.usage_ns, 5000u);
  EXPECT_EQ(stats->memory.usage_bytes, 1000u);
  EXPECT_EQ(stats->memory.peak_bytes, 2000u);
  EXPECT_EQ(stats->memory.limit_bytes, 4096u);
  EXPECT_FALSE(stats->memory.swap_limit_bytes.has_value());
  EXPECT_EQ(stats->pids->current, 3u);
  EXPECT_FALSE(stats->memory_psi.has_value());
  Put("c/memory.pressure",
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=6\n");
  stats = cgroup->ReadStats();
  EXPECT_EQ(stats->memory_psi->some.total_us, 7u);
  EXPECT_EQ(stats->memory_psi->full.total_us, 6u);
}

TEST_F(V2Test, TheHostKnowsItsControllersAndPageSizes) {
  EXPECT_EQ(host_->version(), Version::kV2);
  EXPECT_TRUE(host_->HasController("hugetlb"));
  EXPECT_FALSE(host_->HasController("freezer"));
  EXPECT_THAT(host_->HugepageSizes(), ::testing::UnorderedElementsAre("2MB", "1GB"));
  EXPECT_EQ(host_->UnifiedMountToHide(), "");
  EXPECT_EQ(host_->MemoryDir("/a/b"), "/sys/fs/cgroup/a/b");
  EXPECT_FALSE(host_->At("relative").ok());
}

}  // namespace
}  // namespace berth::cgroupfs
