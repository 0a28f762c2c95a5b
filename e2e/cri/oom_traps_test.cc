// SPDX-License-Identifier: Apache-2.0
// The cases that a shallow OOM verdict gets wrong: a burnt report budget, forged kernel messages, a kernel
// log that cannot be read, kills that have another reason.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/oom_cases.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

// Uses up the node's ten OOM reports per five seconds in a container of its own.
void BurnReports() {
  const Pod pod;
  const Container burner = Container::Run(pod, WithMemory(Faults({"burn", "14"}), 24 * kMiB));
  burner.WaitExit(seconds(60));
  EXPECT_THAT(burner.Text(), HasSubstr("burnt 14"));
}

TEST(OomTraps, ABurntBudgetOfReportsChangesNoVerdict) {
  const Pod pod;
  for (int i = 0; i < GetOptions().count; ++i) {
    const Container victim(pod, WithMemory(Faults({"eat", "8"}), 48 * kMiB));
    const Container parent(pod, WithMemory(Faults({"child", "exit", "7", "--", "eat", "8"}), 48 * kMiB));
    BurnReports();
    victim.Start();
    cri::ContainerStatus status = victim.WaitExit();
    EXPECT_EQ(status.reason(), "OOMKilled") << status.message();
    EXPECT_EQ(status.exit_code(), 137);
    if (!OwnDaemon()) return;
    parent.Start();
    status = parent.WaitExit();
    EXPECT_EQ(status.reason(), "Error") << status.message();
    EXPECT_EQ(status.exit_code(), 7);
  }
}

TEST(OomTraps, AForgedKernelMessageIsNotBelieved) {
  BERTH_NEEDS_OWN_DAEMON();
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const Pod pod(pod_config);
  for (int i = 0; i < GetOptions().count; ++i) {
    cri::ContainerConfig config = WithMemory(Server(), 48 * kMiB);
    Security(&config)->set_privileged(true);
    const Container container = Container::Run(pod, config);
    container.WaitLine("ready");
    const std::string pid = std::to_string(container.Pid());
    const std::string task =
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=" +
        container.cgroup() + ",task_memcg=" + container.cgroup() + ",task=faults,pid=" + pid + ",uid=0";
    const std::string killed = "Memory cgroup out of memory: Killed process " + pid +
                               " (faults) total-vm:100kB, anon-rss:50kB, file-rss:0kB, shmem-rss:0kB, UID:0 "
                               "pgtables:40kB oom_score_adj:0";
    for (const char* level : {"0", "3", "6"}) {
      ASSERT_EQ(container.Exec({"faults", "kmsg", task, level}).exit_code(), 0);
      ASSERT_EQ(container.Exec({"faults", "kmsg", killed, level}).exit_code(), 0);
    }
    ::kill(container.Pid(), SIGKILL);
    const cri::ContainerStatus status = container.WaitExit();
    EXPECT_EQ(status.reason(), "Error") << status.message();
    EXPECT_EQ(status.exit_code(), 137);
    EXPECT_THAT(status.message(), Not(HasSubstr("out of memory")));
  }
}

// /dev/kmsg in our mount namespace becomes a device that nobody can open.
class UnreadableKernelLog {
 public:
  UnreadableKernelLog() : node_(Environment::Get().dir() + "/no-kmsg") {
    ::unlink(node_.c_str());
    if (::mknod(node_.c_str(), S_IFCHR | 0600, makedev(250, 250)) != 0 ||
        ::mount(node_.c_str(), "/dev/kmsg", nullptr, MS_BIND, nullptr) != 0) {
      throw TestError("cannot hide /dev/kmsg");
    }
  }
  ~UnreadableKernelLog() { ::umount2("/dev/kmsg", MNT_DETACH); }

 private:
  std::string node_;
};

TEST(OomTraps, AChildKilledLongAgoDoesNotExplainAKillFromOutsideWhenTheLogIsUnreadable) {
  BERTH_NEEDS_OWN_DAEMON();
  const UnreadableKernelLog hidden;
  const Pod pod;
  std::vector<Container> containers;
  for (int i = 0; i < GetOptions().count; ++i) {
    containers.push_back(
        Container::Run(pod, WithMemory(Faults({"child", "sleep", "--", "eat", "8"}), 48 * kMiB)));
  }
  for (const Container& container : containers) container.WaitLine("child ended 137");
  std::this_thread::sleep_for(GetOptions().full ? seconds(60) : seconds(4));
  for (const Container& container : containers) {
    ::kill(container.Pid(), SIGKILL);
    const cri::ContainerStatus status = container.WaitExit();
    EXPECT_EQ(status.reason(), "Error") << status.message();
    EXPECT_EQ(status.exit_code(), 137);
  }
}

TEST(OomTraps, Pid1KilledForMemoryIsToldAlsoWithoutAKernelLog) {
  BERTH_NEEDS_OWN_DAEMON();
  const UnreadableKernelLog hidden;
  const Pod pod;
  for (int i = 0; i < GetOptions().count; ++i) {
    const Container container = Container::Run(pod, WithMemory(Faults({"eat", "8"}), 48 * kMiB));
    const cri::ContainerStatus status = container.WaitExit();
    EXPECT_EQ(status.reason(), "OOMKilled") << status.message();
    EXPECT_EQ(status.exit_code(), 137);
    // Else the log was readable after all, and this test and the one above it show nothing.
    EXPECT_THAT(status.message(), HasSubstr("kernel log could not be read"));
  }
}

TEST(OomTraps, AKillFromOutsideOfAContainerAtItsLimitIsAnError) {
  const Pod pod;
  // Page cache fills the limit: failcnt and `oom` counters move, nothing is killed.
  const Container container = Container::Run(
      pod, WithMemory(Shell("head -c 200000000 /dev/zero > /big; echo full; sleep 1000"), 48 * kMiB));
  container.WaitLine("full", seconds(60));
  ::kill(container.Pid(), SIGKILL);
  const cri::ContainerStatus status = container.WaitExit();
  EXPECT_EQ(status.reason(), "Error") << status.message();
  EXPECT_EQ(status.exit_code(), 137);
}

TEST(OomTraps, TheNeighbourInThePodIsNotBlamed) {
  const Pod pod;
  const Container neighbour = Container::Run(pod, WithMemory(Faults({"term", "0"}), 48 * kMiB));
  const Container victim = Container::Run(pod, WithMemory(Faults({"eat", "8"}), 48 * kMiB));
  EXPECT_EQ(victim.WaitExit().reason(), "OOMKilled");
  ::kill(neighbour.Pid(), SIGKILL);
  EXPECT_EQ(neighbour.WaitExit().reason(), "Error");
}

TEST(OomTraps, TheMessageNamesTheVictimItsHostPidTheLimitAndThePeak) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container unlimited = Container::Run(pod, Server());  // or the pod's limit, the sum, may be hit first
  const Container container = Container::Run(pod, WithMemory(Faults({"eat", "1", "20"}), 50 * kMiB));
  const std::string pid = std::to_string(container.Pid());
  const std::string message = container.WaitExit().message();
  EXPECT_THAT(message, testing::MatchesRegex(
                           "out of memory: killed faults \\(host pid " + pid +
                           ", rss [0-9.]+ MiB\\) at the container limit of 50.0 MiB; peak [0-9.]+ MiB.*"));
}

}  // namespace
}  // namespace berth::e2e
