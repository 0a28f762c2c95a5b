// SPDX-License-Identifier: Apache-2.0
// Limits as the kernel sees them: of the container, of the pod, after an update.
#include <gmock/gmock.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::Eq;
using testing::HasSubstr;
using testing::Optional;

std::string Control(const std::string& controller, const std::string& cgroup, const std::string& v1,
                    const std::string& v2) {
  return Trim(TryReadFile(CgroupDir(controller, cgroup) + "/" + (CgroupV2() ? v2 : v1)).value_or("missing"));
}

void Update(const Container& container, const std::function<void(cri::LinuxContainerResources*)>& edit) {
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(container.id());
  edit(request.mutable_linux());
  Must(Cri().UpdateContainerResources(request));
}

TEST(Resources, MemoryCpuAndPidsAreInTheContainersCgroup) {
  const Pod pod;
  cri::ContainerConfig config = WithMemory(Server(), 50 * kMiB);
  Resources(&config)->set_cpu_shares(512);
  Resources(&config)->set_cpu_period(100000);
  Resources(&config)->set_cpu_quota(20000);
  const Container container = Container::Run(pod, config);
  EXPECT_THAT(MemoryLimit(container.cgroup()), Optional(Eq(52428800)));
  if (CgroupV2()) {
    EXPECT_EQ(Control("cpu", container.cgroup(), "", "cpu.max"), "20000 100000");
  } else {
    EXPECT_EQ(Control("cpu", container.cgroup(), "cpu.shares", ""), "512");
    EXPECT_EQ(Control("cpu", container.cgroup(), "cpu.cfs_quota_us", ""), "20000");
    EXPECT_EQ(Control("cpu", container.cgroup(), "cpu.cfs_period_us", ""), "100000");
  }
}

TEST(Resources, TheContainersCgroupIsItsIdBelowTheParentThatWasNamed) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const std::string cgroups = ReadFile("/proc/" + std::to_string(container.Pid()) + "/cgroup");
  EXPECT_THAT(cgroups, HasSubstr(container.cgroup() + "\n"));
}

TEST(Resources, TheStatusEchoesTheNumbersThatWereGiven) {
  BERTH_NEEDS_OWN_DAEMON();  // a field that older peers lack
  const Pod pod;
  cri::ContainerConfig config = WithMemory(Server(), 64 * kMiB);
  Resources(&config)->set_cpu_shares(307);
  Resources(&config)->set_cpu_period(100000);
  Resources(&config)->set_cpu_quota(30000);
  const Container container = Container::Run(pod, config);
  const cri::LinuxContainerResources resources = container.Status().resources().linux();
  EXPECT_EQ(resources.cpu_shares(), 307);
  EXPECT_EQ(resources.cpu_quota(), 30000);
  EXPECT_EQ(resources.cpu_period(), 100000);
  EXPECT_EQ(resources.memory_limit_in_bytes(), 64 * kMiB);
}

TEST(Resources, ThePodsLimitIsTheSumOfItsContainersWhenTheRuntimeMadeItsCgroup) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container one = Container::Run(pod, WithMemory(Server(), 50 * kMiB));
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(50 * kMiB)));
  Container two = Container::Run(pod, WithMemory(Server(), 30 * kMiB));
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(80 * kMiB)));
  Update(one, [](auto* linux) { linux->set_memory_limit_in_bytes(60 * kMiB); });
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(90 * kMiB)));
  two.Stop(5);
  WaitFor("the ended container to count no more", [&] { return MemoryLimit(pod.cgroup()) == 60 * kMiB; });
  const Container unlimited = Container::Run(pod, Server());
  EXPECT_EQ(MemoryLimit(pod.cgroup()), std::nullopt) << "one without a limit lifts the pod's";
}

TEST(Resources, ThePodsLimitIsTheSandboxsWhenItNamesOne) {
  BERTH_NEEDS_OWN_DAEMON();
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(70 * kMiB);
  const Pod pod(config);
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(70 * kMiB)));
  const Container container = Container::Run(pod, WithMemory(Server(), 50 * kMiB));
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(70 * kMiB)));
}

TEST(Resources, APodCgroupThatSomebodyElseMadeIsNeverResizedOrRemoved) {
  cri::PodSandboxConfig config = PodConfig();
  const std::string parent = config.linux().cgroup_parent();
  MakeCgroup(parent);
  WriteFile(CgroupDir("memory", parent) + (CgroupV2() ? "/memory.max" : "/memory.limit_in_bytes"),
            "209715200");
  {
    const Pod pod(config);
    const Container container = Container::Run(pod, WithMemory(Server(), 50 * kMiB));
    EXPECT_THAT(MemoryLimit(parent), Optional(Eq(209715200)));
  }
  EXPECT_TRUE(MemoryCgroupExists(parent));
  EXPECT_THAT(MemoryLimit(parent), Optional(Eq(209715200)));
  EXPECT_THAT(CgroupTree(parent), testing::IsEmpty()) << "nothing below it may stay";
  DestroyCgroup(parent);
}

TEST(Resources, TheCgroupThatWeMadeGoesWithThePod) {
  BERTH_NEEDS_OWN_DAEMON();
  Pod pod;
  { const Container container = Container::Run(pod, Server()); }
  EXPECT_TRUE(MemoryCgroupExists(pod.cgroup()));
  pod.Stop();
  const std::string cgroup = pod.cgroup();
  pod.Remove();
  EXPECT_FALSE(MemoryCgroupExists(cgroup));
}

TEST(Resources, AnUpdateChangesOnlyWhatItNames) {
  const Pod pod;
  cri::ContainerConfig config = WithMemory(Server(), 50 * kMiB);
  Resources(&config)->set_cpu_shares(512);
  const Container container = Container::Run(pod, config);
  Update(container, [](auto* linux) {
    linux->set_memory_limit_in_bytes(80 * kMiB), linux->set_memory_swap_limit_in_bytes(80 * kMiB);
  });
  EXPECT_THAT(MemoryLimit(container.cgroup()), Optional(Eq(80 * kMiB)));
  if (!CgroupV2()) {
    EXPECT_EQ(Control("cpu", container.cgroup(), "cpu.shares", ""), "512");
  }
  Update(container, [](auto* linux) { linux->set_cpu_shares(256); });
  EXPECT_THAT(MemoryLimit(container.cgroup()), Optional(Eq(80 * kMiB)));
  if (OwnDaemon()) {
    EXPECT_EQ(container.Status().resources().linux().memory_limit_in_bytes(), 80 * kMiB);
    EXPECT_EQ(container.Status().resources().linux().cpu_shares(), 256);
  }
}

TEST(Resources, AnUpdateOfTheCpusetAloneWorks) {
  const Pod pod;
  const Container container = Container::Run(pod, WithMemory(Server(), 50 * kMiB));
  Update(container, [](auto* linux) { linux->set_cpuset_cpus("0"); });
  EXPECT_EQ(Control("cpuset", container.cgroup(), "cpuset.cpus", "cpuset.cpus"), "0");
  EXPECT_THAT(MemoryLimit(container.cgroup()), Optional(Eq(50 * kMiB)));
}

TEST(Resources, AnUpdateOfACreatedContainerIsAppliedAtStart) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container(pod, WithMemory(Server(), 50 * kMiB));
  Update(container, [](auto* linux) {
    linux->set_memory_limit_in_bytes(80 * kMiB), linux->set_memory_swap_limit_in_bytes(80 * kMiB);
  });
  container.Start();
  EXPECT_THAT(MemoryLimit(container.cgroup()), Optional(Eq(80 * kMiB)));
}

TEST(Resources, LoweringMemoryBelowUsageIsRefusedWithBothNumbersAndChangesNothing) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const Container container = Container::Run(pod, WithMemory(Faults({"eat", "40", "0", "40"}), 100 * kMiB));
  container.WaitLine("holding");
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(container.id());
  request.mutable_linux()->set_memory_limit_in_bytes(20 * kMiB);
  const auto refused = Cri().UpdateContainerResources(request);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("20.0 MiB"));
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
  EXPECT_THAT(MemoryLimit(container.cgroup()), Optional(Eq(100 * kMiB)));
  EXPECT_EQ(container.Status().resources().linux().memory_limit_in_bytes(), 100 * kMiB);
}

TEST(Resources, SandboxResourcesAreAcceptedAndAcceptedAgain) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id(pod.id());
  request.mutable_resources()->set_memory_limit_in_bytes(90 * kMiB);
  Must(Cri().UpdatePodSandboxResources(request));
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(90 * kMiB)));
  Must(Cri().UpdatePodSandboxResources(request));
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(90 * kMiB)));
}

TEST(Resources, HugepageLimitsOfZeroAreToleratedWhereTheControllerIsAbsent) {
  if (!OwnDaemon() && !CgroupV2() && !Exists("/sys/fs/cgroup/hugetlb"))
    GTEST_SKIP() << "peers fail without v1 hugetlb";
  const Pod pod;
  cri::ContainerConfig config = Server();
  for (const char* size : {"2MB", "1GB"}) {
    cri::HugepageLimit* limit = Resources(&config)->add_hugepage_limits();
    limit->set_page_size(size);
    limit->set_limit(0);
  }
  EXPECT_EQ(Container::Run(pod, config).Sh("echo up"), "up");
}

TEST(Resources, TheScoreForTheOomKillerIsWrittenAndClampedToWhatIsPermitted) {
  const Pod pod;
  for (const int wanted : {1000, 500, 0}) {
    cri::ContainerConfig config = Shell("cat /proc/self/oom_score_adj");
    Resources(&config)->set_oom_score_adj(wanted);
    EXPECT_EQ(OutputOf(pod, config), std::to_string(wanted));
  }
  cri::ContainerConfig config = Shell("cat /proc/self/oom_score_adj");
  Resources(&config)->set_oom_score_adj(-997);
  const int got = std::stoi(OutputOf(pod, config));
  const int ours = std::stoi(ReadFile("/proc/self/oom_score_adj"));
  EXPECT_TRUE(got == -997 || got == ours) << got;
}

TEST(Resources, ALimitThatTheKernelRefusesLeavesNoCgroupAndTheNextAttemptHasItsLimits) {
  BERTH_NEEDS_OWN_DAEMON();
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_linux()->mutable_resources()->set_cpu_period(100000);
  config.mutable_linux()->mutable_resources()->set_cpu_quota(10);  // the kernel's least is 1000
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  EXPECT_FALSE(Cri().RunPodSandbox(request).ok());
  EXPECT_FALSE(MemoryCgroupExists(config.linux().cgroup_parent()));
  config.mutable_linux()->clear_resources();
  const Pod pod(config);
  const Container container = Container::Run(pod, WithMemory(Server(), 50 * kMiB));
  EXPECT_THAT(MemoryLimit(pod.cgroup()), Optional(Eq(50 * kMiB)));
}

}  // namespace
}  // namespace berth::e2e
