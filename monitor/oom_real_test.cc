// SPDX-License-Identifier: Apache-2.0
// The OOM verdict against the real kernel: every case of design.md, rule 2, that a host with memory cgroups
// can make. BERTH_OOM_REPEAT=N makes each case N times (default 1).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/files.h"
#include "cgroupfs/cgroup.h"
#include "monitor/testing/pod.h"
#include "monitor/testing/wait.h"

namespace berth::monitor {
namespace {

using ::testing::ContainsRegex;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::RuntimeUnderTest;
using testing::Soon;
using ::testing::StartsWith;
using testing::TestPod;

constexpr std::int64_t kMiB = 1 << 20;

int Repeat() {
  const char* text = std::getenv("BERTH_OOM_REPEAT");
  return text == nullptr ? 1 : std::atoi(text);
}

TestPod::Options Limit(std::int64_t bytes) {
  TestPod::Options options;
  options.memory_limit = bytes;
  return options;
}

void ExpectOomKilled(const ExitRecord& record, const std::string& evidence) {
  EXPECT_EQ(record.reason, "OOMKilled") << record.message;
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.oom.evidence, evidence);
  EXPECT_TRUE(record.oom.verdict);
  EXPECT_THAT(record.message, StartsWith("out of memory: "));
}

class OomTest : public ::testing::TestWithParam<RuntimeUnderTest> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto host = cgroupfs::Host::Detect();
    if (!host || !(*host)->HasController("memory")) GTEST_SKIP() << "needs the memory controller";
  }
  // Runs `one` with a fresh container name each time.
  void Each(TestPod& pod, const std::function<void(const std::string& id)>& one) {
    for (int i = 0; i < Repeat() && !HasFailure(); ++i) {
      const std::string id = "c" + std::to_string(i);
      one(id);
      EXPECT_TRUE(pod.client().Forget(id, Soon()).ok());
    }
  }
};

// Until the monitor has charged the kills so far to children. An exec that ends by SIGKILL makes it look, and
// the second look comes later than OomLedger::kSettleNs after the first.
void Settle(TestPod& pod, const std::string& id) {
  for (const char* exec : {"-look", "-look-again"}) {
    const ExecExit exit = pod.Exec(id, id + exec, {"sleep", "20", "kill", "9"});
    EXPECT_EQ(exit.exit_code, 137);
    EXPECT_FALSE(exit.oom_killed);
  }
}

TEST_P(OomTest, TheFirstProcessKilledAtOnce) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"name", "hungry", "eat", "100"}, Limit(20 * kMiB));
    const ExitRecord record = pod.Wait(id);
    ExpectOomKilled(record, "kernel log");
    EXPECT_THAT(
        record.message,
        ContainsRegex("^out of memory: killed hungry \\(host pid [0-9]+, rss [12][0-9]\\.[0-9] MiB\\) at "
                      "the container limit of 20\\.0 MiB; peak 20\\.0 MiB; kill 1 of this container$"));
    EXPECT_EQ(record.oom.child_kills, 0U);
  });
}

TEST_P(OomTest, TheFirstProcessKilledAfterAWhile) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"sleep", "700", "eat", "100"}, Limit(20 * kMiB));
    ExpectOomKilled(pod.Wait(id), "kernel log");
  });
}

TEST_P(OomTest, AChildKilledAndTheFirstProcessExitsByItself) {
  TestPod pod(GetParam());
  for (const int code : {0, 7}) {
    Each(pod, [&](const std::string& id) {
      pod.Run(id + "x" + std::to_string(code),
              {"eat-child", "100", "wait-child", "exit", std::to_string(code)}, Limit(20 * kMiB));
      const ExitRecord record = pod.Wait(id + "x" + std::to_string(code));
      EXPECT_EQ(record.reason, code == 0 ? "Completed" : "Error");
      EXPECT_EQ(record.exit_code, code);
      EXPECT_FALSE(record.oom.verdict);
      EXPECT_EQ(record.oom.child_kills, 1U);
      EXPECT_THAT(record.message, StartsWith("out of memory: killed child busy (host pid "));
      EXPECT_THAT(record.message,
                  HasSubstr("the first process ended by itself with exit code " + std::to_string(code)));
      pod.Run(id, {"exit", "0"});
      pod.Wait(id);
    });
  }
}

TEST_P(OomTest, AShellThatSays137IsAnErrorThatStartsWithOutOfMemory) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"eat-child", "100", "wait-child", "exit", "137"}, Limit(20 * kMiB));
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Error");
    EXPECT_EQ(record.exit_code, 137);
    EXPECT_FALSE(record.signaled);
    EXPECT_THAT(record.message, StartsWith("out of memory:"));
  });
}

TEST_P(OomTest, AChildKilledThenStopped) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(
        id,
        {"trap", "15", "143", "eat-child", "100", "wait-child", "print", "child gone\n", "sleep", "100000"},
        Limit(20 * kMiB));
    ASSERT_TRUE(Eventually([&] { return !pod.Log(id).empty(); }));
    ASSERT_TRUE(pod.client().Signal({id, SIGTERM, "stop", 2000}, Soon()).ok());
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Error");
    EXPECT_EQ(record.exit_code, 143);
    EXPECT_THAT(record.message, HasSubstr("stopped by request with SIGTERM"));
  });
}

TEST_P(OomTest, AChildKilledThenKilledByUs) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"eat-child", "100", "wait-child", "print", "child gone\n", "sleep", "100000"},
            Limit(20 * kMiB));
    ASSERT_TRUE(Eventually([&] { return !pod.Log(id).empty(); }));
    ASSERT_TRUE(pod.client().Kill({id, "stop", 0}, Soon()).ok());
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Error") << record.message;
    EXPECT_EQ(record.exit_code, 137);
    EXPECT_THAT(record.message, HasSubstr("stopped by request, killed at once"));
    EXPECT_EQ(record.oom.child_kills, 1U);
  });
}

TEST_P(OomTest, AChildKilledThenKilledFromTheHost) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    const Started started = pod.Run(
        id, {"eat-child", "100", "wait-child", "print", "child gone\n", "sleep", "100000"}, Limit(20 * kMiB));
    ASSERT_TRUE(Eventually([&] { return !pod.Log(id).empty(); }));
    Settle(pod, id);
    ::kill(started.pid, SIGKILL);
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Error") << record.message;
    EXPECT_THAT(record.message, HasSubstr("killed by SIGKILL, neither for memory nor by a request"));
  });
}

TEST_P(OomTest, ThePodsLimitIsNamedAsThePods) {
  TestPod pod(GetParam());
  pod.LimitPod(30 * kMiB);
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"eat", "200"}, Limit(100 * kMiB));
    const ExitRecord record = pod.Wait(id);
    ExpectOomKilled(record, "kernel log");
    EXPECT_EQ(record.oom.scope, "pod");
    EXPECT_THAT(record.message, HasSubstr("at the pod limit of 30.0 MiB"));
  });
}

TEST_P(OomTest, AnExecKilledIsToldToItsCaller) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"trap", "15", "0", "print", "ready\n", "sleep", "100000"}, Limit(20 * kMiB));
    ASSERT_TRUE(Eventually([&] { return !pod.Log(id).empty(); }));
    const ExecExit exit = pod.Exec(id, id + "-e", {"eat", "100"});
    EXPECT_EQ(exit.exit_code, 137);
    EXPECT_TRUE(exit.oom_killed);
    ASSERT_TRUE(pod.client().Signal({id, SIGTERM, "stop", 1000}, Soon()).ok());
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Completed");
    EXPECT_EQ(record.oom.child_kills, 1U);
  });
}

TEST_P(OomTest, ASharedMemoryChildTakesTheFirstProcessWithIt) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    ::unlink((pod.dir() + "/rootfs/eat").c_str());
    pod.Run(id, {"share", "100", "sleep", "100000"}, Limit(20 * kMiB));
    ASSERT_TRUE(Eventually([&] { return pod.Pids(id).size() == 2; }));
    // Of two that share their memory the kernel kills the last in the cgroup's list, and takes PID 1 along
    // without a line of its own.
    ASSERT_TRUE(base::WriteFile(pod.dir() + "/rootfs/eat", "eat", 0644).ok());
    const ExitRecord record = pod.Wait(id);
    ExpectOomKilled(record, "shared memory");
    EXPECT_THAT(record.message, HasSubstr("which shared its memory with the first process"));
    EXPECT_NE(record.oom.victim->host_pid, record.pid);
  });
}

TEST_P(OomTest, AHostileNameChangesNothing) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"name", "x) a,pid=1,uid=", "eat", "100"}, Limit(20 * kMiB));
    const ExitRecord record = pod.Wait(id);
    ExpectOomKilled(record, "kernel log");
    ASSERT_TRUE(record.oom.victim);
    EXPECT_EQ(record.oom.victim->comm, "x) a,pid=1,uid=");
    EXPECT_EQ(record.oom.victim->host_pid, record.pid);
    // "unknown" where the kernel's rate limit kept the line with the cgroup back.
    EXPECT_TRUE(record.oom.scope == "container" || record.oom.scope == "unknown") << record.oom.scope;
  });
}

TEST_P(OomTest, AForgedLineInTheKernelLogIsNoEvidence) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    const Started started = pod.Run(id, {"sleep", "100000"}, Limit(20 * kMiB));
    const std::string line =
        "<3>Memory cgroup out of memory: Killed process " + std::to_string(started.pid) +
        " (busy) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0";
    ASSERT_TRUE(base::WriteControl("/dev/kmsg", line).ok());
    ::kill(started.pid, SIGKILL);
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Error") << record.message;
    EXPECT_EQ(record.oom.kills, 0U);
  });
}

TEST_P(OomTest, WithTheNodesBudgetOfReportsBurntTheVerdictIsTheSame) {
  TestPod pod(GetParam());
  // Ten reports per five seconds for the whole node.
  for (int i = 0; i < 12; ++i) pod.Run("burn" + std::to_string(i), {"eat", "20"}, Limit(8 * kMiB));
  for (int i = 0; i < 12; ++i) ExpectOomKilled(pod.Wait("burn" + std::to_string(i)), "kernel log");
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"eat", "100"}, Limit(20 * kMiB));
    ExpectOomKilled(pod.Wait(id), "kernel log");
    pod.Run(id + "child", {"eat-child", "100", "wait-child", "exit", "7"}, Limit(20 * kMiB));
    const ExitRecord record = pod.Wait(id + "child");
    EXPECT_EQ(record.reason, "Error");
    EXPECT_EQ(record.oom.child_kills, 1U) << record.message;
  });
}

TEST_P(OomTest, WithoutTheKernelLogTheCounterTells) {
  TestPod pod(GetParam(), "/nonexistent/kmsg");
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"eat", "100"}, Limit(20 * kMiB));
    const ExitRecord record = pod.Wait(id);
    ExpectOomKilled(record, "counter");
    EXPECT_TRUE(record.oom.evidence_lost);
  });
}

TEST_P(OomTest, WithoutTheKernelLogAnEarlierChildsKillIsNoEvidence) {
  TestPod pod(GetParam(), "/nonexistent/kmsg");
  Each(pod, [&](const std::string& id) {
    const Started started = pod.Run(
        id, {"eat-child", "100", "wait-child", "print", "child gone\n", "sleep", "100000"}, Limit(20 * kMiB));
    ASSERT_TRUE(Eventually([&] { return !pod.Log(id).empty(); }));
    Settle(pod, id);
    ::kill(started.pid, SIGKILL);
    const ExitRecord record = pod.Wait(id);
    EXPECT_EQ(record.reason, "Error") << record.message;
    EXPECT_EQ(record.oom.child_kills, 1U);
  });
}

TEST_P(OomTest, KilledWhileNobodyIsConnected) {
  TestPod pod(GetParam());
  Each(pod, [&](const std::string& id) {
    pod.Run(id, {"sleep", "300", "eat", "100"}, Limit(20 * kMiB));
    pod.Disconnect();
    ASSERT_TRUE(Eventually([&] { return base::Exists(pod.dir() + "/record-" + id + "/exit.json"); }));
    ExpectOomKilled(pod.Record(id), "kernel log");
    pod.Connect();
  });
}

INSTANTIATE_TEST_SUITE_P(Runtimes, OomTest, ::testing::ValuesIn(testing::Runtimes()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace berth::monitor
