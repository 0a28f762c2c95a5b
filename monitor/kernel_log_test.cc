// SPDX-License-Identifier: Apache-2.0
#include "monitor/kernel_log.h"

#include <gtest/gtest.h>

#include <random>

namespace berth::monitor {
namespace {

// As Linux 6.18 wrote them on a real host.
const std::string kConstraint =
    "6,876,1384794165,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/"
    ",mems_allowed=0,oom_memcg=/pod,task_memcg=/pod/c1,"
    "task=python3,pid=28883,uid=0\n";
const std::string kVictim =
    "3,877,1384794183,-;Memory cgroup out of memory: Killed process 28883 (python3) total-vm:31492kB, "
    "anon-rss:20096kB, file-rss:4180kB, "
    "shmem-rss:8kB, UID:0 pgtables:104kB oom_score_adj:0\n";

TEST(KernelLogParser, ReadsTheVictimAndWhoseLimitItWas) {
  KernelLogParser parser;
  EXPECT_FALSE(parser.Feed(kConstraint));
  const auto victim = parser.Feed(kVictim);
  ASSERT_TRUE(victim);
  EXPECT_EQ(victim->pid, 28883);
  EXPECT_EQ(victim->comm, "python3");
  EXPECT_EQ(victim->rss_bytes, (20096U + 4180 + 8) * 1024);
  EXPECT_FALSE(victim->global);
  EXPECT_EQ(victim->oom_memcg, "/pod");
  EXPECT_EQ(victim->task_memcg, "/pod/c1");
}

TEST(KernelLogParser, NeedsNoConstraintLine) {
  KernelLogParser parser;
  const auto victim = parser.Feed(kVictim);
  ASSERT_TRUE(victim);
  EXPECT_FALSE(victim->oom_memcg);
  EXPECT_FALSE(victim->task_memcg);
}

TEST(KernelLogParser, TakesNoConstraintLineOfAnotherVictim) {
  KernelLogParser parser;
  std::string other = kConstraint;
  other.replace(other.find("28883"), 5, "28884");
  parser.Feed(other);
  EXPECT_FALSE(parser.Feed(kVictim)->task_memcg);
}

TEST(KernelLogParser, TellsTheNodesMemoryFromACgroups) {
  KernelLogParser parser;
  const auto victim = parser.Feed(
      "3,1,1,-;Out of memory: Killed process 7 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, "
      "UID:0 pgtables:1kB");
  ASSERT_TRUE(victim);
  EXPECT_TRUE(victim->global);
  EXPECT_TRUE(parser.Feed(
      "3,1,1,-;Out of memory (oom_kill_allocating_task): Killed process 7 (a) total-vm:1kB, anon-rss:1kB"));
}

TEST(KernelLogParser, BelievesTheKernelsFacilityOnly) {
  KernelLogParser parser;
  // What a process writes to /dev/kmsg has facility 1 (user) at the least: 8 + priority.
  EXPECT_FALSE(parser.Feed("11" + kVictim.substr(1)));
  EXPECT_FALSE(parser.Feed("12" + kVictim.substr(1)));
  EXPECT_FALSE(parser.Feed("187" + kVictim.substr(1)));
  EXPECT_TRUE(parser.Feed("4" + kVictim.substr(1)));
}

TEST(KernelLogParser, IsNotFooledByNames) {
  struct Case {
    std::string comm;
  };
  for (const std::string& comm :
       {std::string("x) a,pid=1,uid=0"), std::string(") total-vm:1kB"), std::string("a (b) c"),
        std::string(",task=x,pid=9"), std::string("Killed process"), std::string("()"), std::string(""),
        std::string(",oom_memcg=/")}) {
    KernelLogParser parser;
    parser.Feed(
        "6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/"
        "pod,task_memcg=/pod/c1,task=" +
        comm + ",pid=42,uid=0\n");
    const auto victim = parser.Feed("3,2,2,-;Memory cgroup out of memory: Killed process 42 (" + comm +
                                    ") total-vm:31492kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 "
                                    "pgtables:104kB oom_score_adj:0\n");
    ASSERT_TRUE(victim) << comm;
    EXPECT_EQ(victim->pid, 42) << comm;
    EXPECT_EQ(victim->comm, comm);
    EXPECT_EQ(victim->task_memcg, "/pod/c1") << comm;
    EXPECT_EQ(victim->oom_memcg, "/pod") << comm;
  }
}

TEST(KernelLogParser, IsNotFooledByCgroupNames) {
  const auto victim_at = [](const std::string& oom, const std::string& task) {
    KernelLogParser parser;
    parser.Feed(
        "6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,oom_memcg=/evil,task_memcg=/"
        "evil,mems_allowed=0,oom_memcg=" +
        oom + ",task_memcg=" + task + ",task=a,pid=42,uid=0\n");
    return parser.Feed(
        "3,2,2,-;Memory cgroup out of memory: Killed process 42 (a) total-vm:1kB, anon-rss:4kB, "
        "file-rss:0kB, shmem-rss:0kB\n");
  };
  EXPECT_EQ(victim_at("/pod", "/pod/a,task=b")->task_memcg, "/pod/a,task=b");
  EXPECT_EQ(victim_at("/", "/pod/c")->oom_memcg, "/");
  // A name that makes the two contradict each other: neither is believed, and the victim is known all the
  // same.
  EXPECT_FALSE(victim_at("/pod", "/pod/x,task_memcg=/other")->task_memcg);
  EXPECT_EQ(victim_at("/pod", "/pod/x,task_memcg=/other")->pid, 42);
}

TEST(KernelLogParser, TakesNothingForAVictimThatIsNone) {
  for (const char* record :
       {"", ";", "3", "3,1,1,-", "3,1,1,-;",
        "x,1,1,-;Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB",
        "3,1,1,-;Memory cgroup out of memory: Killed process",
        "3,1,1,-;Memory cgroup out of memory: Killed process x (a) total-vm:1kB",
        "3,1,1,-;Memory cgroup out of memory: Killed process 1 (a",
        "3,1,1,-;Memory cgroup out of memory: Killed process 1 (a)",
        "3,1,1,-; Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB",
        "3,1,1,-;init: Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB",
        "6,1,1,-;other text\n Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB"}) {
    KernelLogParser parser;
    EXPECT_FALSE(parser.Feed(record)) << record;
  }
}

TEST(KernelLogParser, SurvivesAnyBytes) {
  std::mt19937 random(1);
  const std::string seeds[] = {kConstraint, kVictim};
  KernelLogParser parser;
  for (int i = 0; i < 20000; ++i) {
    std::string record = seeds[i % 2];
    for (unsigned n = random() % 8; n > 0; --n)
      record[random() % record.size()] = static_cast<char>(random());
    record.resize(random() % (record.size() + 1));
    (void)parser.Feed(record);
  }
}

TEST(MemoryCgroupOf, FindsTheLineOfTheMemoryController) {
  EXPECT_EQ(MemoryCgroupOf("5:cpu,cpuacct:/x\n4:memory:/pod/c:1\n0::/y\n"), "/pod/c:1");
  EXPECT_EQ(MemoryCgroupOf("3:pids,memory:/pod\n"), "/pod");
  EXPECT_EQ(MemoryCgroupOf("3:pids:/p\n0::/pod/c (deleted)"), "/pod/c");
  EXPECT_EQ(MemoryCgroupOf("1:name=memory:/p\n"), std::nullopt);
  EXPECT_EQ(MemoryCgroupOf("4:memory:/\n0::/pod/c\n"), std::nullopt);  // an exiting process on v1
  EXPECT_EQ(MemoryCgroupOf("torn"), std::nullopt);
  EXPECT_EQ(MemoryCgroupOf(""), std::nullopt);
}

}  // namespace
}  // namespace berth::monitor
