// SPDX-License-Identifier: Apache-2.0
// The end of cgroups, their rules and their children, asked of the kernel: killing, freezing, removing
// (cgroup_real_test.cc says how).
#include "cgroupfs/testing/real_fixture.h"
#include "gmock/gmock.h"

namespace berth::cgroupfs {
namespace {

using ::testing::HasSubstr;

TEST_P(CgroupRealTest, KillAllEndsForksAndStoppedAndFrozenProcessesInItAndBelow) {
  auto cgroup = Made("kill");
  auto child = Made("kill/child");
  const bool v2 = !IsV1();
  // On v2 a cgroup with controllers for its children takes no processes: both go into leaves.
  auto leaf = v2 ? Made("kill/leaf") : Made("kill");
  Process forker(*leaf, [] {
    for (int i = 0; i < 20; ++i) {
      if (::fork() == 0) {
        for (;;) {  // forks for ever, so that a listing alone never catches all
          const pid_t pid = ::fork();
          if (pid == 0) ::_exit(0);
          ::waitpid(pid, nullptr, 0);
        }
      }
    }
  });
  ASSERT_TRUE(forker.is_ready());
  Process stopped(*child);
  ASSERT_TRUE(stopped.is_ready());
  ASSERT_EQ(::kill(stopped.pid(), SIGSTOP), 0);
  auto frozen = child->Freeze(Deadline::After(5 * base::kSecondNs));
  ASSERT_TRUE(frozen.ok()) << frozen.error().Message();
  auto thawed = child->Thaw();
  ASSERT_TRUE(thawed.ok());
  auto killed = cgroup->KillAll(Deadline::After(10 * base::kSecondNs));
  ASSERT_TRUE(killed.ok()) << killed.error().Message();
  EXPECT_TRUE(cgroup->Processes()->empty());
  EXPECT_EQ(WTERMSIG(forker.Wait()), SIGKILL);
  EXPECT_EQ(WTERMSIG(stopped.Wait()), SIGKILL);
}

TEST_P(CgroupRealTest, AFrozenCgroupIsKilledToo) {
  auto cgroup = Made("frozen");
  Process process(*cgroup);
  ASSERT_TRUE(process.is_ready());
  auto frozen = cgroup->Freeze(Deadline::After(5 * base::kSecondNs));
  ASSERT_TRUE(frozen.ok()) << frozen.error().Message();
  auto killed = cgroup->KillAll(Deadline::After(5 * base::kSecondNs));
  ASSERT_TRUE(killed.ok()) << killed.error().Message();
  EXPECT_EQ(WTERMSIG(process.Wait()), SIGKILL);
}

TEST_P(CgroupRealTest, KillAllTellsWhoDoesNotDieWhenACgroupAboveIsFrozen) {
  if (!IsV1()) GTEST_SKIP() << "on v2 a frozen process takes SIGKILL";
  auto pod = Made("stuck");
  auto cgroup = Made("stuck/container");
  Process process(*cgroup);
  ASSERT_TRUE(process.is_ready());
  ASSERT_TRUE(pod->Freeze(Deadline::After(5 * base::kSecondNs)).ok());
  auto killed = cgroup->KillAll(Deadline::After(300 * base::kMillisecondNs));
  ASSERT_FALSE(killed.ok());
  EXPECT_EQ(killed.error().err, ETIMEDOUT);
  EXPECT_THAT(killed.error().what, HasSubstr(std::to_string(process.pid())));
  EXPECT_THAT(killed.error().what, HasSubstr("a cgroup above it is frozen"));
  ASSERT_TRUE(pod->Thaw().ok());
  EXPECT_EQ(WTERMSIG(process.Wait()), SIGKILL);
}

TEST_P(CgroupRealTest, RemoveRefusesWhileAProcessIsLeftAndTakesExecChildrenWithIt) {
  auto cgroup = Made("remove");
  auto exec = host_->ExecAt(root_ + "/remove/exec-1");
  ASSERT_TRUE(exec.ok());
  auto made = (*exec)->Create();
  ASSERT_TRUE(made.ok()) << made.error().Message();
  EXPECT_TRUE(*made);
  {
    const Process process(**exec);
    ASSERT_TRUE(process.is_ready());
    auto removed = cgroup->Remove();
    ASSERT_FALSE(removed.ok());
    EXPECT_EQ(removed.error().err, EBUSY);
    EXPECT_THAT(removed.error().what, HasSubstr(std::to_string(process.pid())));
  }
  auto removed = cgroup->Remove();
  ASSERT_TRUE(removed.ok()) << removed.error().Message();
  EXPECT_FALSE((*exec)->Exists());
  EXPECT_FALSE(cgroup->Exists());
  EXPECT_TRUE(cgroup->Remove().ok()) << "missing is success";
  EXPECT_TRUE(cgroup->KillAll(Deadline::After(base::kSecondNs)).ok()) << "missing is empty";
}

TEST_P(CgroupRealTest, AnExecsChildHasNoMemoryCgroupOfItsOwn) {
  auto cgroup = Made("container");
  const Process init(*cgroup);
  ASSERT_TRUE(init.is_ready());
  auto exec = host_->ExecAt(root_ + "/container/exec-1");
  ASSERT_TRUE(exec.ok());
  auto made = (*exec)->Create();
  ASSERT_TRUE(made.ok()) << made.error().Message();
  EXPECT_NE(::access((host_->MemoryDir(root_ + "/container/exec-1") + "/" +
                      (IsV1() ? "memory.usage_in_bytes" : "memory.max"))
                         .c_str(),
                     F_OK),
            0);
  Process process(**exec);
  ASSERT_TRUE(process.is_ready());
  auto killed = (*exec)->KillAll(Deadline::After(5 * base::kSecondNs));
  ASSERT_TRUE(killed.ok()) << killed.error().Message();
  EXPECT_EQ(WTERMSIG(process.Wait()), SIGKILL);
  EXPECT_EQ(::kill(init.pid(), 0), 0) << "the container's own process must live";
  EXPECT_THAT(*cgroup->Processes(), ::testing::ElementsAre(init.pid()));
}

TEST_P(CgroupRealTest, CpusetsAreInheritedOnV1AndListsOutsideTheParentAreRefusedThere) {
  if (!IsV1() || !host_->HasController("cpuset")) GTEST_SKIP() << "no v1 cpuset controller here";
  auto cgroup = Made("cpuset");
  auto limits = cgroup->ReadLimits();
  ASSERT_TRUE(limits.ok());
  EXPECT_FALSE(limits->cpuset_cpus.empty());
  EXPECT_FALSE(limits->cpuset_mems.empty());
  Resources one;
  one.cpuset_cpus = "0";
  ASSERT_TRUE(cgroup->Apply(one).ok());
  auto below = Made("cpuset/below");
  EXPECT_EQ(below->ReadLimits()->cpuset_cpus, "0");
  Resources outside;
  outside.cpuset_cpus = "0-1";
  if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "one cpu only";
  auto applied = below->Apply(outside);
  ASSERT_FALSE(applied.ok());
  EXPECT_THAT(applied.error().what, HasSubstr("'0-1' is not within the parent's '0'"));
}

TEST_P(CgroupRealTest, AParentWithProcessesOfItsOwnIsNamedOnV2) {
  if (IsV1())
    GTEST_SKIP() << "the rule of no internal processes is cgroup v2's; this host's controllers are on v1";
  auto parent = Made("parent");
  const Process process(*parent);
  ASSERT_TRUE(process.is_ready());
  auto made = At(root_ + "/parent/child")->Create();
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().err, EBUSY);
  EXPECT_THAT(made.error().what, HasSubstr("no internal processes"));
  EXPECT_THAT(made.error().what, HasSubstr(std::to_string(process.pid())));
}

TEST_P(CgroupRealTest, UnifiedKeysWorkOnV2AndAreRefusedOnV1) {
  if (!IsV1()) NEED_CONTROLLER("memory");
  auto cgroup = Made("unified");
  Resources resources;
  resources.unified = {{"memory.oom.group", "1"}};
  auto applied = cgroup->Apply(resources);
  if (IsV1()) {
    ASSERT_FALSE(applied.ok());
    EXPECT_THAT(applied.error().what, HasSubstr("needs cgroup v2"));
  } else {
    EXPECT_TRUE(applied.ok()) << applied.error().Message();
  }
}

TEST_P(CgroupRealTest, HugepageLimitsAreSetOnV2) {
  NEED_CONTROLLER("hugetlb");
  ASSERT_FALSE(host_->HugepageSizes().empty());
  auto cgroup = Made("huge/c");
  Resources resources;
  for (const auto& size : host_->HugepageSizes()) resources.hugepage_limits.push_back({size, 0});
  auto applied = cgroup->Apply(resources);
  ASSERT_TRUE(applied.ok()) << applied.error().Message();
  const auto limits = cgroup->ReadLimits();
  ASSERT_TRUE(limits.ok());
  ASSERT_EQ(limits->hugepage_limits.size(), host_->HugepageSizes().size());
  EXPECT_EQ(limits->hugepage_limits[0].limit_bytes, 0u);
}

TEST_P(CgroupRealTest, TheCallersOwnCgroupIsNeverKilled) {
  auto cgroup = Made("self");
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (const auto& file : cgroup->ProcsFiles()) {
      base::UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
      if (::write(fd.get(), "0", 1) != 1) ::_exit(99);
    }
    auto killed = cgroup->KillAll(Deadline::After(base::kSecondNs));
    ::_exit(!killed && killed.error().err == EBUSY ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace berth::cgroupfs
