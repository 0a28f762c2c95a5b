// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>

#include "base/inherit.h"

namespace berth::base {
namespace {

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.env = {"PATH=/usr/bin:/bin"};
  return options;
}

TEST(Spawn, ReportsTheExecFailureWithItsErrno) {
  SpawnOptions options;
  options.argv = {"/nonexistent/program"};
  const auto child = Spawn(options);
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().err, ENOENT);
  EXPECT_EQ(child.error().what, "exec of '/nonexistent/program'");
}

TEST(Spawn, ReportsTheStageThatFailedBeforeExec) {
  SpawnOptions options = Shell("true");
  options.cgroup_procs = {"/nonexistent/cgroup.procs"};
  const auto child = Spawn(options);
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().what, "join the cgroup of '/bin/sh'");
}

TEST(Spawn, GivesTheChildTheDescriptorLimitThatWasThereBeforeOursWasRaised) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlim_t before = std::min<rlim_t>(limit.rlim_max, 200);
  limit.rlim_cur = before;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_TRUE(RaiseDescriptorLimit(300).ok());
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 300));
  const auto result = RunCommand(Shell("ulimit -Sn; ulimit -Hn"), "", Deadline::After(10 * kSecondNs));
  ASSERT_TRUE(result.ok()) << result.error().Message();
  EXPECT_EQ(result->out,
            std::to_string(before) + "\n" +
                (limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max)) + "\n");
}

TEST(Spawn, GivesTheChildTheUsualUmask) {
  const mode_t before = ::umask(077);
  const auto result = RunCommand(Shell("umask"), "", Deadline::After(10 * kSecondNs));
  ::umask(before);
  ASSERT_TRUE(result.ok()) << result.error().Message();
  EXPECT_EQ(result->out, "0022\n");
}

TEST(Spawn, HasAnEnvironmentForOthersWithoutWhatTheServiceManagerToldUs) {
  const char* environment[] = {"PATH=/bin",       "NOTIFY_SOCKET=/run/x", "WATCHDOG_USEC=5", "LISTEN_FDS=1",
                               "INVOCATION_ID=1", "JOURNAL_STREAM=8:1",   "NOTIFY=kept",     nullptr};
  EXPECT_EQ(EnvironmentForOthers(environment), (std::vector<std::string>{"PATH=/bin", "NOTIFY=kept"}));
  EXPECT_TRUE(EnvironmentForOthers(nullptr).empty());
}

TEST(RunCommand, GathersBothOutputsAndTheCode) {
  const auto result =
      RunCommand(Shell("cat; echo bad >&2; exit 7"), "hello", Deadline::After(10 * kSecondNs));
  ASSERT_TRUE(result.ok()) << result.error().Message();
  EXPECT_EQ(result->out, "hello");
  EXPECT_EQ(result->err, "bad\n");
  EXPECT_EQ(result->status.ShellCode(), 7);
}

TEST(RunCommand, KillsAtTheDeadline) {
  const auto result = RunCommand(Shell("exec sleep 1000"), "", Deadline::After(50 * kMillisecondNs));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().err, ETIMEDOUT);
}

TEST(RunCommand, DoesNotWaitForAGrandchildThatKeepsThePipe) {
  const std::int64_t before = MonotonicNs();
  const auto result = RunCommand(Shell("sleep 5 & echo done"), "", Deadline::After(60 * kSecondNs));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out, "done\n");
  EXPECT_LT(MonotonicNs() - before, 4 * kSecondNs);
}

TEST(RunCommand, LeavesNoDescriptorButTheStandardOnesOpen) {
  const UniqueFd leaky(::open("/dev/null", O_RDONLY));  // on purpose without O_CLOEXEC
  const auto result = RunCommand(Shell("exec ls /proc/self/fd"), "", Deadline::After(10 * kSecondNs));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out, "0\n1\n2\n3\n");  // 3 is ls' own
}

TEST(Pidfd, TellsTheExitStatusToTheParentAndByInfo) {
  auto child = Spawn(Shell("kill -9 $$"));
  ASSERT_TRUE(child.ok());
  const auto status = WaitChild(*child);
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->signaled);
  EXPECT_EQ(status->ShellCode(), 137);
  const auto info = PidfdExitStatus(child->pidfd.get());
  if (info.ok()) {  // Linux 6.15 and later
    EXPECT_EQ(info->ShellCode(), 137);
  } else {
    EXPECT_TRUE(info.error().err == ENOTTY || info.error().err == EINVAL || info.error().err == EOPNOTSUPP);
  }
}

TEST(ProcessIdentity, RefusesAProcessThatIsNotTheOneMeant) {
  auto self = IdentifyProcess(::getpid());
  ASSERT_TRUE(self.ok());
  EXPECT_TRUE(OpenProcess(*self).ok());
  self->start_ticks += 1;
  const auto other = OpenProcess(*self);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().err, ESRCH);
}

TEST(ProcessIdentity, TakesAZombieForGone) {
  auto child = Spawn(Shell("read never"));
  ASSERT_TRUE(child.ok());
  const auto identity = IdentifyProcess(child->pid);
  ASSERT_TRUE(identity.ok());
  pollfd ended{child->pidfd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 20'000),
            1);  // its standard input is /dev/null: it ends, and nobody has reaped it
  const auto opened = OpenProcess(*identity);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().err, ESRCH);
  EXPECT_TRUE(WaitChild(*child).ok());
}

TEST(ParseSignal, TakesNamesAndNumbersOfAnySpelling) {
  EXPECT_EQ(ParseSignal("SIGTERM"), SIGTERM);
  EXPECT_EQ(ParseSignal("quit"), SIGQUIT);
  EXPECT_EQ(ParseSignal("9"), 9);
  EXPECT_EQ(ParseSignal("SIGRTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(ParseSignal("RTMAX-14"), SIGRTMAX - 14);
  EXPECT_EQ(ParseSignal("SIGFOO"), std::nullopt);
  EXPECT_EQ(ParseSignal("65"), std::nullopt);
  EXPECT_EQ(ParseSignal("0"), std::nullopt);
  EXPECT_EQ(ParseSignal(""), std::nullopt);
  EXPECT_EQ(ParseSignal("RTMIN+99"), std::nullopt);
}

}  // namespace
}  // namespace berth::base
