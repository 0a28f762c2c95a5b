// SPDX-License-Identifier: Apache-2.0
// The pure parts: readers of the kernel's texts, paths, conversions, mounts, unified keys.
#include "cgroupfs/text.h"

#include <cerrno>
#include <string>

#include "cgroupfs/convert.h"
#include "cgroupfs/mounts.h"
#include "cgroupfs/path.h"
#include "cgroupfs/unified.h"
#include "cgroupfs/v1/controllers.h"
#include "cgroupfs/v2/controllers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth::cgroupfs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(TextTest, NumbersAreWholeOrNothing) {
  EXPECT_EQ(ParseNumber("42\n"), 42u);
  EXPECT_EQ(ParseNumber("18446744073709551615"), 18446744073709551615u);
  for (const char* text : {"", "\n", "4 2", "42x", "-1", "max", "18446744073709551616"})
    EXPECT_FALSE(ParseNumber(text)) << text;
  EXPECT_EQ(ParseSigned("-1\n"), -1);
  EXPECT_EQ(ParseMaxOrNumber("max\n"), kUnlimited);
  EXPECT_EQ(ParseMaxOrNumber("18446744073709551615"), kUnlimited);
  EXPECT_EQ(ParseMaxOrNumber("7"), 7);
  EXPECT_FALSE(ParseMaxOrNumber("maximum"));
}

TEST(TextTest, KeysAreFoundByTheirWholeName) {
  constexpr char kText[] = "oom 3\noom_kill 5\noom_group_kill 1\n";
  EXPECT_EQ(ParseKeyed(kText, "oom"), 3u);
  EXPECT_EQ(ParseKeyed(kText, "oom_kill"), 5u);
  EXPECT_FALSE(ParseKeyed(kText, "kill"));
  EXPECT_FALSE(ParseKeyed(kText, "oom_kil"));
}

TEST(TextTest, PidsOfOtherNamespacesAreLeftOut) {
  EXPECT_THAT(ParsePids("12\n0\n7\n"), ElementsAre(12, 7));
  EXPECT_THAT(ParsePids(""), IsEmpty());
}

TEST(TextTest, PressureIsReadWithAndWithoutTheFullLine) {
  const auto psi = ParsePsi(
      "some avg10=1.50 avg60=0.07 avg300=12.00 total=123456\nfull avg10=0.25 avg60=0.00 avg300=0.00 "
      "total=99\n");
  ASSERT_TRUE(psi.has_value());
  EXPECT_DOUBLE_EQ(psi->some.avg10, 1.5);
  EXPECT_DOUBLE_EQ(psi->some.avg60, 0.07);
  EXPECT_DOUBLE_EQ(psi->some.avg300, 12.0);
  EXPECT_EQ(psi->some.total_us, 123456u);
  EXPECT_DOUBLE_EQ(psi->full.avg10, 0.25);
  EXPECT_EQ(psi->full.total_us, 99u);
  EXPECT_TRUE(ParsePsi("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n").has_value());
  EXPECT_FALSE(ParsePsi("").has_value());
  EXPECT_FALSE(ParsePsi("some avg10=x avg60=0.00 avg300=0.00 total=0\n").has_value());
}

TEST(TextTest, CpuListsAreRangesAndNumbers) {
  for (const char* good : {"0", "0-3", "0,2-4,7", "10-10"}) EXPECT_TRUE(IsCpuList(good)) << good;
  for (const char* bad : {"", "a", "0-", "-1", "3-1", "0,,1", "0 1", "0-3\n", "0-1-2", "9999999"})
    EXPECT_FALSE(IsCpuList(bad)) << bad;
}

TEST(TextTest, PageSizesAreSpelledAsTheKernelDoes) {
  EXPECT_EQ(HugepageSizeFromDir("hugepages-2048kB"), "2MB");
  EXPECT_EQ(HugepageSizeFromDir("hugepages-1048576kB"), "1GB");
  EXPECT_EQ(HugepageSizeFromDir("hugepages-64kB"), "64KB");
  EXPECT_FALSE(HugepageSizeFromDir("hugepages-xkB"));
  EXPECT_FALSE(HugepageSizeFromDir("hugepages-kB"));
}

TEST(PathTest, OnlyPlainAbsolutePathsAreTaken) {
  for (const char* good : {"/", "/kubepods", "/kubepods/burstable/pod1-2_3.4", "/a b"})
    EXPECT_TRUE(ValidatePath(good).ok()) << good;
  for (const char* bad : {"", "a", "a/b", "//", "/a/", "/a//b", "/..", "/a/../b", "/./a", "/a/.", "/a\nb"}) {
    const auto refused = ValidatePath(bad);
    EXPECT_FALSE(refused.ok()) << bad;
    if (!refused.ok()) {
      EXPECT_EQ(refused.error().err, EINVAL);
    }
  }
  EXPECT_FALSE(ValidatePath("/" + std::string(256, 'a')).ok());
  EXPECT_THAT(StepsDown("/a/b"), ElementsAre("", "/a", "/a/b"));
  EXPECT_THAT(StepsDown("/"), ElementsAre(""));
}

TEST(ConvertTest, SharesBecomeWeightsOnTheCurveThatKubeletUses) {
  EXPECT_EQ(WeightFromShares(0), 1u);
  EXPECT_EQ(WeightFromShares(2), 1u);
  EXPECT_EQ(WeightFromShares(1024), 100u);
  EXPECT_EQ(WeightFromShares(262144), 10000u);
  EXPECT_EQ(WeightFromShares(1000000), 10000u);
  EXPECT_EQ(WeightFromShares(102), 17u);    // 100m
  EXPECT_EQ(WeightFromShares(512), 59u);    // 500m
  EXPECT_EQ(WeightFromShares(4096), 303u);  // 4 cpus
}

TEST(ConvertTest, EveryWeightComesBackFromItsShares) {
  for (std::uint64_t weight = 1; weight <= 10000; ++weight) {
    const auto shares = SharesFromWeight(weight);
    // Small weights lie closer together than whole shares do: the nearest below is the best there is.
    if (weight > 3) {
      EXPECT_LE(WeightFromShares(shares), weight) << shares;
      EXPECT_GE(WeightFromShares(shares + 1), weight) << shares;
    }
  }
  EXPECT_EQ(SharesFromWeight(100), 1024);
  EXPECT_EQ(SharesFromWeight(1), 2);
  EXPECT_EQ(SharesFromWeight(10000), 262144);
}

TEST(ConvertTest, SwapIsTheSumWithoutTheMemory) {
  EXPECT_EQ(*SwapAlone(100, 100), 0);
  EXPECT_EQ(*SwapAlone(100, 150), 50);
  EXPECT_EQ(*SwapAlone(kUnlimited, kUnlimited), kUnlimited);
  EXPECT_EQ(*SwapAlone(100, kUnlimited), kUnlimited);
  EXPECT_THAT(SwapAlone(2 << 20, 1 << 20).error().what, HasSubstr("is below the memory limit, 2.0 MiB"));
  EXPECT_FALSE(SwapAlone(kUnlimited, 100).ok());
  EXPECT_EQ(MemoryAndSwap(100, 50), 150);
  EXPECT_EQ(MemoryAndSwap(100, kUnlimited), kUnlimited);
}

TEST(ConvertTest, ImpossibleNumbersAreRefusedWithASentence) {
  const auto why = [](auto change) {
    Resources resources;
    change(resources);
    auto valid = ValidateResources(resources);
    return valid ? std::string("accepted") : valid.error().what;
  };
  EXPECT_THAT(why([](Resources& r) { r.cpu_quota_us = 999; }), HasSubstr("least of 1000 us"));
  EXPECT_THAT(why([](Resources& r) { r.cpu_period_us = 2000000; }), HasSubstr("not between"));
  EXPECT_THAT(why([](Resources& r) { r.memory_limit_bytes = -2; }), HasSubstr("negative"));
  EXPECT_THAT(why([](Resources& r) { r.cpuset_cpus = "0\n1"; }), HasSubstr("no list"));
  EXPECT_THAT(why([](Resources& r) { r.hugepage_limits = {{"../2MB", 0}}; }), HasSubstr("not like '2MB'"));
  EXPECT_EQ(why([](Resources& r) { r.cpu_quota_us = kUnlimited; }), "accepted");
}

TEST(UnifiedTest, KeysAreFilesOfControllersAndNothingElse) {
  for (const char* good : {"memory.high", "memory.oom.group", "hugetlb.2MB.max", "cpu.weight.nice"}) {
    EXPECT_TRUE(ValidateUnified({{good, "1"}}).ok()) << good;
  }
  for (const char* bad : {"", "memory", ".memory", "memory.", "memory..high", "../memory.high",
                          "a/memory.max", "memory.max\n", "memory max.x", "cgroup.procs", "cgroup.kill"}) {
    EXPECT_FALSE(ValidateUnified({{bad, "1"}}).ok()) << bad;
  }
  EXPECT_FALSE(ValidateUnified({{"memory.high", "1\n2"}}).ok());
}

TEST(MountsTest, ControllersMountedTogetherOrAloneAreFoundAndMemoryComesLast) {
  const auto layout = LayoutOf(ParseMountinfo(
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
      "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
      "34 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
      "35 31 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"));
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->version, Version::kV1);
  EXPECT_EQ(layout->MountOf("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(layout->MountOf("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(layout->MountOf("name=systemd"), "/sys/fs/cgroup/systemd");
  EXPECT_EQ(layout->MountOf("pids"), "");
  EXPECT_EQ(layout->unified, "/sys/fs/cgroup/unified");
  ASSERT_EQ(layout->hierarchies.size(), 3u);
  EXPECT_TRUE(layout->hierarchies.back().Has("memory"));
}

TEST(MountsTest, TheUsualPlaceWinsAndAHiddenMountIsGone) {
  const auto layout =
      LayoutOf(ParseMountinfo("32 31 0:29 / /other/memory rw - cgroup cgroup rw,memory\n"
                              "33 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                              "34 31 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
                              "35 31 0:31 / /sys/fs/cgroup/pids rw - tmpfs tmpfs rw\n"));
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->MountOf("memory"), "/sys/fs/cgroup/memory");
  EXPECT_EQ(layout->MountOf("pids"), "");
}

TEST(MountsTest, OneCgroup2MountIsV2AlsoBesideANamedHierarchy) {
  const auto layout =
      LayoutOf(ParseMounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
                           "cgroup /sys/fs/cgroup/my\\040systemd cgroup rw,name=systemd 0 0\n"));
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->version, Version::kV2);
  EXPECT_EQ(layout->unified, "/sys/fs/cgroup");
  EXPECT_THAT(ParseMounts("c /a\\040b cgroup rw,pids 0 0\n").at(0).mount, "/a b");
}

TEST(MountsTest, NoCgroupsAtAllIsAnErrorWithARemedy) {
  const auto layout = LayoutOf(ParseMountinfo("24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\nnonsense\n"));
  ASSERT_FALSE(layout.ok());
  EXPECT_THAT(layout.error().what, HasSubstr("mount cgroup2 on /sys/fs/cgroup"));
}

TEST(StatTextTest, V1CountersBecomeNanosecondsAndBytes) {
  CpuStats cpu;
  v1::ParseCpuStats("123456789\n", "user 3\nsystem 4\n", "nr_periods 5\nnr_throttled 2\nthrottled_time 777\n",
                    100, cpu);
  EXPECT_EQ(cpu.usage_ns, 123456789u);
  EXPECT_EQ(cpu.user_ns, 30000000u);
  EXPECT_EQ(cpu.system_ns, 40000000u);
  EXPECT_EQ(cpu.throttled_periods, 2u);
  EXPECT_EQ(cpu.throttled_ns, 777u);
  MemoryStats memory;
  memory.usage_bytes = 1000;
  v1::ParseMemoryStat(
      "rss 1\ninactive_file 2\ntotal_rss 600\ntotal_inactive_file 300\ntotal_pgfault 9\ntotal_pgmajfault "
      "1\ntotal_swap 5\n",
      memory);
  EXPECT_EQ(memory.working_set_bytes, 700u);
  EXPECT_EQ(memory.rss_bytes, 600u);
  EXPECT_EQ(memory.swap_usage_bytes, 5u);
  v1::ParseMemoryStat("total_inactive_file 3000\n", memory);
  EXPECT_EQ(memory.working_set_bytes, 0u) << "never below zero";
  EXPECT_EQ(v1::ParseLimit("9223372036854771712\n"), kUnlimited);
  EXPECT_EQ(v1::ParseLimit("52428800\n"), 52428800);
}

TEST(StatTextTest, V2CountersBecomeNanosecondsAndBytes) {
  CpuStats cpu;
  v2::ParseCpuStat(
      "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 3\nnr_throttled 1\nthrottled_usec 8\n", cpu);
  EXPECT_EQ(cpu.usage_ns, 10000u);
  EXPECT_EQ(cpu.user_ns, 6000u);
  EXPECT_EQ(cpu.throttled_ns, 8000u);
  MemoryStats memory;
  memory.usage_bytes = 1000;
  v2::ParseMemoryStat("anon 600\nfile 400\ninactive_file 300\npgfault 9\npgmajfault 1\n", memory);
  EXPECT_EQ(memory.working_set_bytes, 700u);
  EXPECT_EQ(memory.rss_bytes, 600u);
  EXPECT_EQ(v2::ParseCpuMax("max 100000\n")->quota_us, kUnlimited);
  EXPECT_EQ(v2::ParseCpuMax("50000 100000\n")->quota_us, 50000);
  EXPECT_FALSE(v2::ParseCpuMax("50000\n"));
}

TEST(OomTextTest, OnlyKillsCountAndTheLocalOnesAreToldApart) {
  const auto v1 = v1::ParseOomControl("oom_kill_disable 0\nunder_oom 1\noom_kill 4\n");
  ASSERT_TRUE(v1.ok());
  EXPECT_EQ(v1->oom_kill, 4u);
  EXPECT_EQ(v1->oom_kill_tree, 4u);
  EXPECT_FALSE(v1->oom_local.has_value());
  EXPECT_FALSE(v1::ParseOomControl("oom_kill_disable 0\nunder_oom 0\n").ok());
  const auto v2 = v2::ParseEvents("max 9\noom 7\noom_kill 5\n", "max 1\noom 2\noom_kill 1\n");
  ASSERT_TRUE(v2.ok());
  EXPECT_EQ(v2->oom_kill, 1u);
  EXPECT_EQ(v2->oom_kill_tree, 5u);
  EXPECT_EQ(v2->oom_local, 2u);
  const auto old = v2::ParseEvents("oom 7\noom_kill 5\n", "");
  EXPECT_EQ(old->oom_kill, 5u);
  EXPECT_FALSE(old->oom_local.has_value());
}

}  // namespace
}  // namespace berth::cgroupfs
