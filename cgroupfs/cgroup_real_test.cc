// SPDX-License-Identifier: Apache-2.0
// Asks this host's kernel, in a sub-tree of its own: /berth-test-cgroupfs-<pid>. Runs on v1 and on v2; what only one of them has is
// skipped on the other with a sentence. On a hybrid host all runs a second time on its v2 tree, as if that were all there is: the
// controllers are missing there, but the rules of the tree, freezing and killing are the real ones.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/process.h"
#include "cgroupfs/cgroup.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth::cgroupfs {
namespace {

using base::Deadline;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::int64_t kMiB = 1 << 20;

// A child of the test that ends with it, whatever happens.
class Process {
 public:
  // Runs `body` in the child after it has joined `cgroup`. The child sleeps for ever afterwards.
  template <typename Body>
  Process(const Cgroup& cgroup, Body body) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      for (const auto& file : cgroup.ProcsFiles()) {
        base::UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
        if (::write(fd.get(), "0", 1) != 1) ::_exit(99);
      }
      body();
      (void)!::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    is_ready_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
  }
  explicit Process(const Cgroup& cgroup) : Process(cgroup, [] {}) {}
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (reaped_) return;
    ::kill(pid_, SIGKILL);
    (void)Wait();
  }
  int Wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    return status;
  }
  pid_t pid() const { return pid_; }
  bool is_ready() const { return is_ready_; }

 private:
  pid_t pid_ = -1;
  bool is_ready_ = false;
  bool reaped_ = false;
};

enum class Tree { kHosts, kHybridsV2 };

class CgroupRealTest : public ::testing::TestWithParam<Tree> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "making cgroups needs root";
    if (GetParam() == Tree::kHybridsV2 && !MakeV2Root()) GTEST_SKIP() << "no v2 tree beside v1 controllers here";
    auto host = Host::Detect(fake_root_);
    if (!host) GTEST_SKIP() << "no cgroups here: " << host.error().Message();
    host_ = *host;
    root_ = "/berth-test-cgroupfs-" + std::to_string(::getpid());
    auto made = At(root_)->Create();
    if (!made && (made.error().err == EROFS || made.error().err == EACCES)) GTEST_SKIP() << made.error().Message();
    ASSERT_TRUE(made.ok()) << made.error().Message();
    EXPECT_TRUE(*made);
  }
  void TearDown() override {
    RemoveCgroups();
    if (fake_root_.empty()) return;
    if (gave_hugetlb_) (void)base::WriteControl(unified_ + "/cgroup.subtree_control", "-hugetlb");
    (void)base::RemoveTree(fake_root_);
  }
  void RemoveCgroups() {
    if (!host_ || !At(root_)->Exists()) return;
    auto killed = At(root_)->KillAll(Deadline::After(5 * base::kSecondNs));
    EXPECT_TRUE(killed.ok()) << killed.error().Message();
    auto removed = At(root_)->Remove();
    EXPECT_TRUE(removed.ok()) << removed.error().Message();
    EXPECT_FALSE(At(root_)->Exists());
  }
  std::unique_ptr<Cgroup> At(const std::string& path) {
    auto cgroup = host_->At(path);
    if (!cgroup) {
      ADD_FAILURE() << cgroup.error().Message();
      std::abort();
    }
    return std::move(*cgroup);
  }
  std::unique_ptr<Cgroup> Made(const std::string& name) {
    auto cgroup = At(root_ + "/" + name);
    auto made = cgroup->Create();
    EXPECT_TRUE(made.ok()) << made.error().Message();
    return cgroup;
  }
  // A root directory under which only the hybrid host's v2 tree is mounted.
  bool MakeV2Root() {
    auto real = Host::Detect();
    if (!real || (*real)->version() != Version::kV1) return false;
    if (!base::Exists(unified_ + "/cgroup.controllers")) return false;
    // What the root gives its children is put back at the end; other processes of this test must not be using it then.
    tree_.Reset(::open(unified_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!tree_ || ::flock(tree_.get(), LOCK_EX) != 0) return false;
    auto given = base::ReadFile(unified_ + "/cgroup.subtree_control");
    gave_hugetlb_ = given && given->find("hugetlb") == std::string::npos;
    const char* base_dir = std::getenv("TMPDIR");
    fake_root_ = std::string(base_dir == nullptr ? "/tmp" : base_dir) + "/berth-test-cgroupfs-XXXXXX";
    if (::mkdtemp(fake_root_.data()) == nullptr) std::abort();
    if (!base::MakeDirs(fake_root_ + "/sys/fs/cgroup", 0755) || !base::MakeDirs(fake_root_ + "/proc/self", 0755)) return false;
    if (::symlink(unified_.c_str(), (fake_root_ + unified_).c_str()) != 0) return false;
    if (::symlink("/sys/kernel", (fake_root_ + "/sys/kernel").c_str()) != 0) return false;
    std::ofstream(fake_root_ + "/proc/self/mountinfo") << "41 31 0:38 / " << unified_ << " rw - cgroup2 cgroup2 rw\n";
    return true;
  }
  bool IsV1() const { return host_->version() == Version::kV1; }

  std::shared_ptr<const Host> host_;
  std::string root_;
  const std::string unified_ = "/sys/fs/cgroup/unified";
  std::string fake_root_;
  base::UniqueFd tree_;
  bool gave_hugetlb_ = false;
};

INSTANTIATE_TEST_SUITE_P(Trees, CgroupRealTest, ::testing::Values(Tree::kHosts, Tree::kHybridsV2),
                         [](const auto& tree) { return tree.param == Tree::kHosts ? "Hosts" : "HybridsV2"; });

#define NEED_CONTROLLER(name) \
  if (!host_->HasController(name)) GTEST_SKIP() << "no controller '" << (name) << "' in this tree"

// Touches `bytes` of fresh anonymous memory.
void Eat(std::size_t bytes) {
  auto* memory = static_cast<volatile char*>(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) ::_exit(98);
  for (std::size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
}

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
  EXPECT_NE(::access((host_->MemoryDir(root_ + "/container/exec-1") + "/" + (IsV1() ? "memory.usage_in_bytes" : "memory.max")).c_str(), F_OK), 0);
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
  if (IsV1()) GTEST_SKIP() << "the rule of no internal processes is cgroup v2's; this host's controllers are on v1";
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
