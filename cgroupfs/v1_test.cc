// SPDX-License-Identifier: Apache-2.0
// cgroup v1 on a model of the kernel: orders of writes, refusals, undoing.
#include <algorithm>
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

class V1Test : public ::testing::Test {
 protected:
  V1Test() : host_(*DetectWith(kernel_, "")) {}
  std::unique_ptr<Cgroup> Made(const std::string& path) {
    auto cgroup = host_->At(path);
    EXPECT_TRUE(cgroup.ok());
    auto made = (*cgroup)->Create();
    EXPECT_TRUE(made.ok()) << made.error().Message();
    kernel_->ClearLog();
    return std::move(*cgroup);
  }
  std::string File(const std::string& rest) { return kernel_->Content(kRoot + rest); }

  std::shared_ptr<FakeKernel> kernel_ = FakeKernel::V1();
  std::shared_ptr<const Host> host_;
};

Resources Memory(std::int64_t memory, std::optional<std::int64_t> both) {
  Resources resources;
  resources.memory_limit_bytes = memory;
  resources.memory_swap_limit_bytes = both;
  return resources;
}

TEST_F(V1Test, ACgroupIsMadeInEveryHierarchyWithTheCpusetOfItsParent) {
  auto cgroup = Made("/pod/c");
  for (const char* hierarchy : {"cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "systemd"}) {
    EXPECT_TRUE(kernel_->Exists(kRoot + std::string(hierarchy) + "/pod/c")) << hierarchy;
  }
  EXPECT_FALSE(kernel_->Exists(std::string(kRoot) + "unified/pod"));
  EXPECT_EQ(File("cpuset/pod/cpuset.cpus"), "0-3");
  EXPECT_EQ(File("cpuset/pod/c/cpuset.cpus"), "0-3");
  EXPECT_EQ(File("cpuset/pod/c/cpuset.mems"), "0");
}

TEST_F(V1Test, ACpusetThatSomebodyChoseIsLeftAlone) {
  Made("/pod");
  ASSERT_TRUE(kernel_->Write(std::string(kRoot) + "cpuset/pod/cpuset.cpus", "2").ok());
  Made("/pod/c");
  EXPECT_EQ(File("cpuset/pod/cpuset.cpus"), "2");
  EXPECT_EQ(File("cpuset/pod/c/cpuset.cpus"), "2");
}

TEST_F(V1Test, AHalfMadeCgroupOfACrashIsFinishedAndCountsAsOurs) {
  kernel_->PutDir(std::string(kRoot) + "cpu/pod");
  kernel_->PutDir(std::string(kRoot) + "pids/pod");
  auto made = (*host_->At("/pod"))->Create();
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(*made) << "memory's directory, the last one, was not there";
}

TEST_F(V1Test, AFailureOnTheWayLeavesNothing) {
  const auto before = kernel_->Dirs();
  kernel_->Refuse("/memory/pod/c", ENOSPC);
  auto made = (*host_->At("/pod/c"))->Create();
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().err, ENOSPC);
  EXPECT_EQ(kernel_->Dirs(), before);
}

TEST_F(V1Test, RaisingMemoryRaisesTheSumFirstAndLoweringLowersMemoryFirst) {
  auto cgroup = Made("/c");
  ASSERT_TRUE(cgroup->Apply(Memory(50, 50)).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("memory.limit_in_bytes=50", "memory.memsw.limit_in_bytes=50"));
  kernel_->ClearLog();
  ASSERT_TRUE(cgroup->Apply(Memory(100, 120)).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("memory.memsw.limit_in_bytes=120", "memory.limit_in_bytes=100"));
  kernel_->ClearLog();
  ASSERT_TRUE(cgroup->Apply(Memory(kUnlimited, kUnlimited)).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"));
}

TEST_F(V1Test, MemoryAloneLiftsTheSumWhenItMust) {
  auto cgroup = Made("/c");
  ASSERT_TRUE(cgroup->Apply(Memory(50, 60)).ok());
  kernel_->ClearLog();
  ASSERT_TRUE(cgroup->Apply(Memory(55, std::nullopt)).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("memory.limit_in_bytes=55"));
  kernel_->ClearLog();
  ASSERT_TRUE(cgroup->Apply(Memory(80, std::nullopt)).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("memory.memsw.limit_in_bytes=80", "memory.limit_in_bytes=80"));
}

TEST_F(V1Test, ASumBelowTheMemoryIsRefusedBeforeAnythingIsWritten) {
  auto cgroup = Made("/c");
  auto applied = cgroup->Apply(Memory(100, 50));
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EINVAL);
  EXPECT_THAT(kernel_->Log(), IsEmpty());
}

TEST_F(V1Test, WithoutSwapAccountingNoSwapIsWhatThereIsAndSwapCannotBeGiven) {
  auto cgroup = Made("/c");
  kernel_->Drop(std::string(kRoot) + "memory/c/memory.memsw.limit_in_bytes");
  ASSERT_TRUE(cgroup->Apply(Memory(50, 50)).ok());
  EXPECT_EQ(File("memory/c/memory.limit_in_bytes"), "50");
  auto applied = cgroup->Apply(Memory(50, 80));
  ASSERT_FALSE(applied.ok());
  EXPECT_THAT(applied.error().what, HasSubstr("swapaccount"));
}

TEST_F(V1Test, LoweringBelowUseNamesBothNumbersAndPutsEverythingBack) {
  auto cgroup = Made("/c");
  Resources first = Memory(100 << 20, 200 << 20);
  first.cpu_shares = 512;
  first.pids_limit = 10;
  ASSERT_TRUE(cgroup->Apply(first).ok());
  kernel_->Put(std::string(kRoot) + "memory/c/memory.memsw.usage_in_bytes", "67108864\n");
  kernel_->ClearLog();
  Resources second = Memory(20 << 20, 30 << 20);  // memory itself could be lowered, the sum cannot
  second.cpu_shares = 256;
  second.pids_limit = 5;
  auto applied = cgroup->Apply(second);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EBUSY);
  EXPECT_THAT(applied.error().what, HasSubstr("30.0 MiB (31457280 bytes)"));
  EXPECT_THAT(applied.error().what, HasSubstr("64.0 MiB (67108864 bytes)"));
  EXPECT_THAT(kernel_->Log(), ElementsAre("cpu.shares=256", "memory.limit_in_bytes=20971520",
                                          "memory.limit_in_bytes=104857600", "cpu.shares=512"));
  EXPECT_EQ(File("pids/c/pids.max"), "10");
}

TEST_F(V1Test, WhatCannotBePutBackIsTold) {
  auto cgroup = Made("/c");
  Resources resources;
  resources.cpu_shares = 256;
  resources.pids_limit = 5;
  kernel_->on_write = [&](const std::string&, std::string_view) { kernel_->Refuse("cpu.shares", EIO); };
  kernel_->Refuse("pids.max", EINVAL);
  auto applied = cgroup->Apply(resources);
  ASSERT_FALSE(applied.ok());
  EXPECT_THAT(applied.error().what, HasSubstr("undoing failed"));
  EXPECT_THAT(applied.error().what, HasSubstr("cpu.shares"));
}

TEST_F(V1Test, QuotaAndPeriodPassThroughNoQuota) {
  auto cgroup = Made("/c");
  Resources half;
  half.cpu_quota_us = 50000;
  half.cpu_period_us = 100000;
  ASSERT_TRUE(cgroup->Apply(half).ok());
  EXPECT_THAT(kernel_->Log(), ElementsAre("cpu.cfs_quota_us=50000"));
  kernel_->ClearLog();
  Resources other;
  other.cpu_quota_us = 100000;
  other.cpu_period_us = 200000;
  ASSERT_TRUE(cgroup->Apply(other).ok());
  EXPECT_THAT(kernel_->Log(),
              ElementsAre("cpu.cfs_quota_us=-1", "cpu.cfs_period_us=200000", "cpu.cfs_quota_us=100000"));
  kernel_->ClearLog();
  kernel_->Refuse("cpu.cfs_period_us", EINVAL);
  ASSERT_FALSE(cgroup->Apply(half).ok());
  EXPECT_EQ(File("cpu/c/cpu.cfs_quota_us"), "100000") << "put back after -1";
}

TEST_F(V1Test, ZerosAreNotGivenAndNothingGivenWritesNothing) {
  auto cgroup = Made("/c");
  Resources zeros = Memory(0, 0);
  zeros.cpu_quota_us = 0;
  zeros.cpu_period_us = 0;
  zeros.cpu_shares = 0;
  zeros.pids_limit = 0;
  ASSERT_TRUE(cgroup->Apply(zeros).ok());
  ASSERT_TRUE(cgroup->Apply(Resources{}).ok());
  EXPECT_THAT(kernel_->Log(), IsEmpty());
}

TEST_F(V1Test, ZeroHugepageLimitsOfAnAbsentControllerAreDroppedAndOthersRefused) {
  auto cgroup = Made("/c");
  Resources resources;
  resources.hugepage_limits = {{"2MB", 0}, {"1GB", 0}};
  EXPECT_TRUE(cgroup->Apply(resources).ok());
  resources.hugepage_limits = {{"2MB", 4 << 20}};
  auto applied = cgroup->Apply(resources);
  ASSERT_FALSE(applied.ok());
  EXPECT_THAT(applied.error().what, HasSubstr("'hugetlb'"));
  EXPECT_THAT(host_->HugepageSizes(), IsEmpty());
}

TEST_F(V1Test, UnifiedKeysAreRefused) {
  auto cgroup = Made("/c");
  Resources resources;
  resources.unified = {{"memory.high", "1"}};
  auto applied = cgroup->Apply(resources);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, EINVAL);
  EXPECT_THAT(applied.error().what, HasSubstr("'memory.high' in unified resources needs cgroup v2"));
}

TEST_F(V1Test, AMissingCgroupIsSaidBeforeAnythingElse) {
  auto applied = (*host_->At("/none"))->Apply(Memory(50, 50));
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ(applied.error().err, ENOENT);
  EXPECT_THAT(applied.error().what, HasSubstr("'/none'"));
  EXPECT_FALSE((*host_->At("/none"))->ReadLimits().ok());
  EXPECT_TRUE((*host_->At("/none"))->Remove().ok());
  EXPECT_TRUE((*host_->At("/none"))->KillAll(Deadline::Never()).ok());
  EXPECT_THAT(*(*host_->At("/none"))->Processes(), IsEmpty());
}

TEST_F(V1Test, ProcessesAreThoseOfAllHierarchiesAndOfTheV2TreeOnce) {
  auto cgroup = Made("/c");
  kernel_->Put(std::string(kRoot) + "memory/c/cgroup.procs", "7\n8\n");
  kernel_->Put(std::string(kRoot) + "pids/c/cgroup.procs", "8\n");
  kernel_->Put(std::string(kRoot) + "pids/c/exec/cgroup.procs", "9\n");
  kernel_->Put(std::string(kRoot) + "unified/c/cgroup.procs", "10\n");
  EXPECT_THAT(*cgroup->Processes(), ElementsAre(7, 8, 9, 10));
}

TEST_F(V1Test, KillingFreezesFirstKillsThenThawsAndGoesOnUntilEmpty) {
  auto cgroup = Made("/c");
  const std::string procs = std::string(kRoot) + "freezer/c/cgroup.procs";
  kernel_->Put(procs, "7\n");
  int sleeps = 0;
  kernel_->on_sleep = [&] {
    ++sleeps;
    if (sleeps == 1) kernel_->Put(procs, "7\n8\n");  // a child that the first round did not see
    if (sleeps == 2) kernel_->Put(procs, "");
  };
  auto killed = cgroup->KillAll(Deadline::Never());
  ASSERT_TRUE(killed.ok()) << killed.error().Message();
  EXPECT_THAT(kernel_->killed, ElementsAre(7, 7, 8));
  EXPECT_THAT(kernel_->Log(), ElementsAre("freezer.state=FROZEN", "SIGKILL", "freezer.state=THAWED",
                                          "freezer.state=FROZEN", "SIGKILL", "freezer.state=THAWED"));
}

TEST_F(V1Test, WhoDoesNotDieIsNamedAtTheDeadlineAndLeftThawed) {
  auto cgroup = Made("/c");
  kernel_->Put(std::string(kRoot) + "memory/c/cgroup.procs", "7\n8\n");
  auto killed = cgroup->KillAll(Deadline::After(0));
  ASSERT_FALSE(killed.ok());
  EXPECT_EQ(killed.error().err, ETIMEDOUT);
  EXPECT_THAT(killed.error().what, HasSubstr("processes 7, 8 do not die"));
  EXPECT_THAT(kernel_->killed, ElementsAre(7, 8)) << "one round is always done";
  EXPECT_EQ(File("freezer/c/freezer.state"), "THAWED");
}

TEST_F(V1Test, TasksThatNeverFreezeAreKilledAllTheSame) {
  auto cgroup = Made("/c");
  const std::string procs = std::string(kRoot) + "freezer/c/cgroup.procs";
  kernel_->Put(procs, "7\n");
  kernel_->on_write = [&](const std::string& file, std::string_view value) {
    if (value == "FROZEN") kernel_->Put(file, "FREEZING\n");  // one is in D state
    if (value == "THAWED") kernel_->Put(procs, "");
  };
  ASSERT_TRUE(cgroup->KillAll(Deadline::After(50 * base::kMillisecondNs)).ok());
  EXPECT_THAT(kernel_->killed, Contains(7));
  const auto log = kernel_->Log();
  EXPECT_LT(std::find(log.begin(), log.end(), "SIGKILL"),
            std::find(log.begin(), log.end(), "freezer.state=THAWED"))
      << "those that stand still must not run again before the signal";
  EXPECT_EQ(File("freezer/c/freezer.state"), "THAWED");
}

TEST_F(V1Test, FreezingThatDoesNotSucceedIsUndone) {
  auto cgroup = Made("/c");
  kernel_->on_write = [&](const std::string& file, std::string_view value) {
    if (value == "FROZEN") kernel_->Put(file, "FREEZING\n");
  };
  auto frozen = cgroup->Freeze(Deadline::After(0));
  ASSERT_FALSE(frozen.ok());
  EXPECT_EQ(frozen.error().err, ETIMEDOUT);
  EXPECT_EQ(File("freezer/c/freezer.state"), "THAWED");
}

TEST_F(V1Test, OurOwnCgroupAndTheWholeHostAreNeverKilledRemovedOrLimited) {
  auto cgroup = Made("/c");
  kernel_->Put(std::string(kRoot) + "memory/c/cgroup.procs", "7\n1000\n");
  EXPECT_EQ(cgroup->KillAll(Deadline::Never()).error().err, EBUSY);
  auto root = *host_->At("/");
  EXPECT_EQ(root->KillAll(Deadline::Never()).error().err, EINVAL);
  EXPECT_EQ(root->Remove().error().err, EINVAL);
  EXPECT_EQ(root->Freeze(Deadline::Never()).error().err, EINVAL);
  EXPECT_EQ(root->Apply(Memory(50, 50)).error().err, EINVAL);
  EXPECT_THAT(kernel_->killed, IsEmpty());
}

TEST_F(V1Test, RemovingTakesTheChildrenAndTheV2TreesRestAndWaitsForTheDying) {
  auto cgroup = Made("/pod");
  Made("/pod/c/exec");
  kernel_->Put(std::string(kRoot) + "unified/pod/cgroup.procs", "");
  kernel_->busy_rmdirs = 3;
  auto removed = cgroup->Remove();
  ASSERT_TRUE(removed.ok()) << removed.error().Message();
  for (const auto& dir : kernel_->Dirs()) EXPECT_THAT(dir, Not(HasSubstr("/pod")));
}

TEST_F(V1Test, RemovingNamesTheProcessesThatAreLeft) {
  auto cgroup = Made("/c");
  kernel_->Put(std::string(kRoot) + "pids/c/cgroup.procs", "42\n");
  auto removed = cgroup->Remove();
  ASSERT_FALSE(removed.ok());
  EXPECT_EQ(removed.error().err, EBUSY);
  EXPECT_THAT(removed.error().what, HasSubstr("processes 42 are left"));
}

TEST_F(V1Test, AnExecsCgroupIsInPidsAndFreezerAlone) {
  Made("/c");
  auto exec = *host_->ExecAt("/c/exec-1");
  ASSERT_TRUE(*exec->Create());
  EXPECT_TRUE(exec->Exists());
  EXPECT_THAT(exec->ProcsFiles(),
              ::testing::UnorderedElementsAre(std::string(kRoot) + "pids/c/exec-1/cgroup.procs",
                                              std::string(kRoot) + "freezer/c/exec-1/cgroup.procs"));
  EXPECT_FALSE(kernel_->Exists(std::string(kRoot) + "memory/c/exec-1"));
}

TEST_F(V1Test, JoinWritesThePidIntoEveryHierarchy) {
  auto cgroup = Made("/c");
  ASSERT_TRUE(cgroup->Join(77).ok());
  for (const char* hierarchy : {"cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "systemd"}) {
    EXPECT_EQ(File(hierarchy + std::string("/c/cgroup.procs")), "77") << hierarchy;
  }
}

TEST_F(V1Test, TheUnifiedMountOfAHybridHostIsHiddenOnlyWhileItOwnsNothingOfUse) {
  EXPECT_EQ(host_->UnifiedMountToHide(), "/sys/fs/cgroup/unified");
  EXPECT_EQ(host_->version(), Version::kV1);
  EXPECT_EQ(host_->MemoryDir("/a"), "/sys/fs/cgroup/memory/a");
  EXPECT_TRUE(host_->HasController("cpu"));
  EXPECT_FALSE(host_->HasController("hugetlb"));
  auto kernel = FakeKernel::V1();
  kernel->Put("/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb io\n");
  EXPECT_EQ((*DetectWith(kernel, ""))->UnifiedMountToHide(), "");
}

}  // namespace
}  // namespace berth::cgroupfs
