// SPDX-License-Identifier: Apache-2.0
// Each case of design.md, rule 2, as a story of looks and one end.
#include "monitor/oom_ledger.h"

#include <gtest/gtest.h>

#include <csignal>

namespace berth::monitor {
namespace {

constexpr std::int64_t kMs = 1'000'000;
const base::ExitStatus kKilled{true, SIGKILL};

KernelVictim Victim(std::int64_t pid, const std::string& task = "/pod/c", const std::string& oom = "/pod/c",
                    const std::string& comm = "app") {
  KernelVictim victim;
  victim.pid = pid;
  victim.comm = comm;
  victim.rss_bytes = 4096;
  if (!task.empty()) victim.task_memcg = task;
  if (!oom.empty()) victim.oom_memcg = oom;
  return victim;
}

class Story {
 public:
  explicit Story(bool log_readable = true, bool nested = false) {
    OomLedger::Setup setup;
    setup.cgroup = "/pod/c";
    setup.pod_cgroup = "/pod";
    setup.pid = 100;
    setup.log_readable = log_readable;
    setup.nested = nested;
    setup.counter = 5;  // somebody's before
    setup.oom_local = 1;
    setup.pod_oom_local = 1;
    ledger_.Arm(setup);
  }
  Story& At(std::int64_t ms, std::vector<KernelVictim> victims, std::uint64_t kills, bool dying = false,
            bool lost = false) {
    OomLedger::Look look;
    look.at_ns = (ms + 1000) * kMs;
    look.log.victims = std::move(victims);
    look.log.lost = lost;
    look.counter = 5 + kills;
    look.oom_local = oom_local_;
    look.pod_oom_local = pod_oom_local_;
    look.first_process_dying = dying;
    look.first_process_comm = "app";
    ledger_.Add(look);
    return *this;
  }
  Story& Levels(std::uint64_t container, std::uint64_t pod) {
    oom_local_ = 1 + container;
    pod_oom_local_ = 1 + pod;
    return *this;
  }
  Story& Met(bool container, bool pod, bool above) {
    met_ = {container, pod, above};
    return *this;
  }
  OomEvidence End(const base::ExitStatus& status = kKilled, bool by_us = false) {
    return ledger_.Judge(status, by_us, met_);
  }
  OomLedger& ledger() { return ledger_; }

 private:
  OomLedger ledger_;
  std::uint64_t oom_local_ = 1, pod_oom_local_ = 1;
  OomLedger::LimitsMet met_;
};

TEST(OomLedger, ItsOwnLineConvictsTheFirstProcess) {
  const auto oom = Story().At(0, {Victim(100)}, 1, true).End();
  EXPECT_TRUE(oom.verdict);
  EXPECT_EQ(oom.evidence, "kernel log");
  EXPECT_EQ(oom.scope, "container");
  EXPECT_EQ(oom.kills, 1U);
  EXPECT_EQ(oom.child_kills, 0U);
  EXPECT_EQ(oom.victim->host_pid, 100);
}

TEST(OomLedger, ItsOwnLineNeedsNeitherConstraintNorCounter) {
  const auto oom = Story().At(0, {Victim(100, "", "")}, 0, true).End();
  EXPECT_TRUE(oom.verdict);
  EXPECT_EQ(oom.scope, "unknown");
  EXPECT_EQ(oom.kills, 1U);
}

TEST(OomLedger, ItsOwnLineConvictsAlsoWhenWeKilledTooLate) {
  EXPECT_TRUE(Story().At(0, {Victim(100)}, 1, true).End(kKilled, true).verdict);
}

TEST(OomLedger, WhoDidNotDieOfSigkillWasNotKilledForMemory) {
  for (const base::ExitStatus status :
       {base::ExitStatus{false, 0}, {false, 7}, {false, 137}, {true, SIGTERM}, {true, SIGSEGV}}) {
    const auto oom = Story().At(0, {Victim(101)}, 1).End(status);
    EXPECT_FALSE(oom.verdict);
    EXPECT_EQ(oom.kills, 1U);
    EXPECT_EQ(oom.child_kills, 1U);
    EXPECT_EQ(oom.victim->host_pid, 101);
  }
}

TEST(OomLedger, AVictimThatSharedItsMemoryConvicts) {
  const auto oom = Story().At(0, {Victim(101)}, 1, true).End();
  EXPECT_TRUE(oom.verdict);
  EXPECT_EQ(oom.evidence, "shared memory");
  EXPECT_EQ(oom.child_kills, 0U);
}

TEST(OomLedger, AlsoWhenAWakeUpReadTheLineBeforeTheEndWasSeen) {
  // The eventfd's look comes between the kernel's line and the SIGCHLD.
  EXPECT_EQ(Story().At(0, {Victim(101)}, 1).At(3, {}, 1, true).End().evidence, "shared memory");
  EXPECT_EQ(Story().At(0, {Victim(101)}, 1, true).At(30, {}, 1, true).End().evidence, "shared memory");
}

TEST(OomLedger, AVictimItOutlivedDoesNot) {
  EXPECT_FALSE(Story().At(0, {Victim(101)}, 1).At(10, {}, 1).At(60'000, {}, 1, true).End().verdict);
  EXPECT_FALSE(
      Story().At(0, {}, 0).At(10, {Victim(101)}, 1).At(110, {}, 1).At(200, {}, 1, true).End().verdict);
}

TEST(OomLedger, OurKillAfterAChildsKillIsOurs) {
  const auto oom = Story().At(0, {Victim(101)}, 1, true).End(kKilled, true);
  EXPECT_FALSE(oom.verdict);
  EXPECT_EQ(oom.child_kills, 1U);
}

TEST(OomLedger, AVictimElsewhereIsNoneOfOurs) {
  const auto oom =
      Story().At(0, {Victim(101, "/pod/other", "/pod"), Victim(102, "/pod/cc", "/pod/cc")}, 0, true).End();
  EXPECT_FALSE(oom.verdict);
  EXPECT_EQ(oom.kills, 0U);
}

TEST(OomLedger, WithoutTheCgroupsLineTheCounterSaysWhetherAVictimIsOurs) {
  EXPECT_FALSE(Story().At(0, {Victim(101, "", "")}, 0, true).End().verdict);
  EXPECT_EQ(Story().At(0, {Victim(101, "", "")}, 1, true).End().evidence, "shared memory");
}

TEST(OomLedger, NamesTheLevelWhoseLimitItWas) {
  EXPECT_EQ(Story().At(0, {Victim(100, "/pod/c", "/pod")}, 1, true).End().scope, "pod");
  EXPECT_EQ(Story().At(0, {Victim(100, "/pod/c", "/")}, 1, true).End().scope, "unknown");
  EXPECT_EQ(Story().At(0, {Victim(100, "/nested/pod/c", "/nested/pod")}, 1, true).End().scope, "pod");
  auto global = Victim(100, "/pod/c", "");
  global.global = true;
  EXPECT_EQ(Story().At(0, {global}, 1, true).End().scope, "node");
  // v2 without the line.
  EXPECT_EQ(Story().Levels(1, 0).At(0, {Victim(100, "", "")}, 1, true).End().scope, "container");
  EXPECT_EQ(Story().Levels(0, 1).At(0, {Victim(100, "", "")}, 1, true).End().scope, "pod");
}

TEST(OomLedger, OnV1TheOnlyLimitThatWasReachedIsNamed) {
  const auto scope = [](bool container, bool pod, bool above) {
    return Story().Met(container, pod, above).At(0, {Victim(100, "", "")}, 1, true).End().scope;
  };
  EXPECT_EQ(scope(true, false, false), "container");
  EXPECT_EQ(scope(false, true, false), "pod");
  EXPECT_EQ(scope(true, true, false), "unknown") << "one of them may have been mended by reclaim";
  EXPECT_EQ(scope(true, false, true), "unknown");
  EXPECT_EQ(scope(false, false, false), "unknown");
  // The kernel's own word is better, and without its line even the kind of kill is not known.
  EXPECT_EQ(Story().Met(true, false, false).At(0, {Victim(100, "/pod/c", "/pod")}, 1, true).End().scope,
            "pod");
  EXPECT_EQ(Story(false).Met(true, false, false).At(0, {}, 1, true).End().scope, "unknown");
}

TEST(OomLedger, WithoutTheLogOnlyGrowthSinceTheLastLookCounts) {
  const auto oom = Story(false).At(0, {}, 0).At(100, {}, 1, true).End();
  EXPECT_EQ(oom.evidence, "counter");
  EXPECT_TRUE(oom.evidence_lost);
  EXPECT_EQ(oom.kills, 1U);
  // A child's kill that it outlived by a look, then a SIGKILL from somewhere.
  EXPECT_FALSE(Story(false).At(0, {}, 1).At(10, {}, 1).At(60'000, {}, 1, true).End().verdict);
  // One kill charged to a child, one that came with the end.
  const auto second = Story(false).At(0, {}, 1).At(10, {}, 1).At(60'000, {}, 2, true).End();
  EXPECT_TRUE(second.verdict);
  EXPECT_EQ(second.kills, 2U);
  EXPECT_EQ(second.child_kills, 1U);
  EXPECT_FALSE(Story(false).At(0, {}, 1, true).End(kKilled, true).verdict);
  EXPECT_FALSE(Story(false).At(0, {}, 0, true).End().verdict);
}

TEST(OomLedger, WithTheLogReadableTheCounterAloneConvictsNobody) {
  // A child of a cgroup below may count here; PID 1's own line would be there.
  EXPECT_FALSE(Story().At(0, {}, 1, true).End().verdict);
}

TEST(OomLedger, AnOverrunLogLeavesTheCounterAndSaysSo) {
  const auto oom = Story().At(0, {}, 1, true, true).End();
  EXPECT_EQ(oom.evidence, "counter");
  EXPECT_TRUE(oom.evidence_lost);
  EXPECT_FALSE(Story().At(0, {}, 0, true, true).End().verdict);
}

TEST(OomLedger, InANestedPidNamespaceCgroupAndNameDecide) {
  EXPECT_EQ(Story(true, true).At(0, {Victim(7777)}, 1, true).End().evidence, "kernel log");
  EXPECT_EQ(Story(true, true).At(0, {Victim(7777, "/pod/c", "/pod/c", "child")}, 1, true).End().evidence,
            "counter");
  EXPECT_FALSE(Story(true, true).At(0, {Victim(100, "/other/c2", "/other")}, 0, true).End().verdict);
}

TEST(OomLedger, WithOomGroupEachIsJudgedByItsOwnLine) {
  const auto oom = Story().At(0, {Victim(101), Victim(100), Victim(102)}, 3, true).End();
  EXPECT_EQ(oom.evidence, "kernel log");
  EXPECT_EQ(oom.kills, 3U);
  EXPECT_EQ(oom.child_kills, 2U);
  EXPECT_EQ(oom.victim->host_pid, 100);
}

OomLedger::Exec ExecOf(std::int64_t pid, std::int64_t began_ms = 0) {
  OomLedger::Exec exec;
  exec.pid = pid;
  exec.began_ns = (began_ms + 1000) * kMs;
  return exec;
}

TEST(OomLedger, KnowsAnExecByItsLine) {
  Story story;
  story.At(0, {Victim(101), Victim(300, "/pod/other", "/pod")}, 1);
  EXPECT_TRUE(story.ledger().Claim(ExecOf(101)));
  EXPECT_FALSE(story.ledger().Claim(ExecOf(102)));
  EXPECT_FALSE(story.ledger().Claim(ExecOf(101, 1)));  // began after the line
  EXPECT_TRUE(story.ledger().HasOpen());
  story.At(20, {}, 1);
  EXPECT_FALSE(story.ledger().HasOpen());
}

TEST(OomLedger, AnExecsLineTakesThePlaceOfAWrongGuess) {
  Story story;
  // Somebody else's line without its cgroup, while our counter already has the exec's kill.
  story.At(0, {Victim(300, "", "", "foreign")}, 1);
  EXPECT_EQ(story.ledger().kills(), 1U);
  story.At(1, {Victim(101, "", "", "exec")}, 1);
  EXPECT_TRUE(story.ledger().Claim(ExecOf(101)));
  const auto oom = story.At(100, {}, 1).At(200, {}, 1).End(base::ExitStatus{false, 0});
  EXPECT_EQ(oom.kills, 1U);
  EXPECT_EQ(oom.child_kills, 1U);
  EXPECT_EQ(oom.victim->comm, "exec");
}

TEST(OomLedger, TheFirstProcessesLineTakesThePlaceOfAWrongGuess) {
  const auto oom =
      Story().At(0, {Victim(300, "", "", "foreign")}, 1).At(1, {Victim(100, "", "")}, 1, true).End();
  EXPECT_TRUE(oom.verdict);
  EXPECT_EQ(oom.kills, 1U);
  EXPECT_EQ(oom.child_kills, 0U);
  EXPECT_EQ(oom.victim->host_pid, 100);
}

TEST(OomLedger, WithoutTheLogTheCounterTellsOfAnExec) {
  Story story(false);
  story.At(0, {}, 1);
  EXPECT_TRUE(story.ledger().Claim(ExecOf(101)));
  auto exec = ExecOf(101);
  exec.kills_before = 1;
  EXPECT_FALSE(story.ledger().Claim(exec));
  exec.kills_before = 0;
  exec.killed_by_us = true;
  EXPECT_FALSE(story.ledger().Claim(exec));
}

TEST(OomLedger, InANestedPidNamespaceNoPidTellsOfAnExec) {
  Story story(true, true);
  story.At(0, {Victim(101, "/other/c2", "/other")}, 0);
  EXPECT_FALSE(story.ledger().Claim(ExecOf(101)));
  story.At(1, {Victim(7777)}, 1);
  EXPECT_TRUE(story.ledger().Claim(ExecOf(101)));
}

TEST(OomLedger, RemembersOnlySoMany) {
  Story story;
  std::vector<KernelVictim> others;
  for (std::int64_t pid = 1000; pid < 1000 + static_cast<std::int64_t>(OomLedger::kMostLines); ++pid)
    others.push_back(Victim(pid, "/pod/other", "/pod/other"));
  story.At(0, {Victim(101)}, 1).At(1, others, 1);
  EXPECT_FALSE(story.ledger().Claim(ExecOf(101)));  // no line of that age is kept
  EXPECT_EQ(story.ledger().kills(), 1U);            // but it was counted
  EXPECT_TRUE(story.ledger().Claim(ExecOf(1000)));
}

TEST(OomLedger, MatchesCgroupsByWholeNames) {
  EXPECT_TRUE(NamesCgroup("/a/pod/c", "/pod/c", false));
  EXPECT_TRUE(NamesCgroup("/pod/c/sub", "/pod/c", true));
  EXPECT_FALSE(NamesCgroup("/pod/c/sub", "/pod/c", false));
  EXPECT_FALSE(NamesCgroup("/pod/cc", "/pod/c", true));
  EXPECT_FALSE(NamesCgroup("/anything", "", true));
  EXPECT_FALSE(NamesCgroup("/anything", "/", true));
}

}  // namespace
}  // namespace berth::monitor
