// SPDX-License-Identifier: Apache-2.0
// Swap, huge pages and unified values through the CRI, of containers and of pods: applied, or refused with a
// sentence; never dropped.
#include <gmock/gmock.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

std::string MemoryFile(const std::string& cgroup, const std::string& file) {
  return Trim(TryReadFile(CgroupDir("memory", cgroup) + "/" + file).value_or("missing"));
}

// CRI and v1 count memory and swap together, v2 swap alone.
std::string SwapLimit(const std::string& cgroup, long long memory) {
  const std::string text = MemoryFile(cgroup, CgroupV2() ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
  if (text == "max" || text == "missing") return text;
  return std::to_string((std::stoll(text) + (CgroupV2() ? memory : 0)) / kMiB) + " MiB";
}

bool HostHas(const std::string& file) { return Exists(CgroupDir("memory", "") + "/" + file); }

#define BERTH_NEEDS_SWAP_ACCOUNTING()                         \
  if (!CgroupV2() && !HostHas("memory.memsw.limit_in_bytes")) \
  GTEST_SKIP() << "this kernel does not account swap by cgroup (swapaccount=0)"

absl::Status Refusal(const Pod& pod, const cri::ContainerConfig& config) {
  MakeDirs(pod.config().log_directory() + "/" + config.metadata().name());
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  if (!created.ok()) return created.status();
  const auto started =
      Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).status();
  Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
  return started;
}

TEST(Resources, SwapIsLimitedTogetherWithMemoryAndFollowsAnUpdate) {
  BERTH_NEEDS_OWN_DAEMON();
  BERTH_NEEDS_SWAP_ACCOUNTING();
  const Pod pod;
  cri::ContainerConfig config = WithMemory(Server(), 50 * kMiB);
  Resources(&config)->set_memory_swap_limit_in_bytes(80 * kMiB);
  const Container container = Container::Run(pod, config);
  EXPECT_EQ(SwapLimit(container.cgroup(), 50 * kMiB), "80 MiB");
  EXPECT_EQ(container.Status().resources().linux().memory_swap_limit_in_bytes(), 80 * kMiB);
  cri::UpdateContainerResourcesRequest update;
  update.set_container_id(container.id());
  update.mutable_linux()->set_memory_swap_limit_in_bytes(120 * kMiB);
  Must(Cri().UpdateContainerResources(update));
  EXPECT_EQ(SwapLimit(container.cgroup(), 50 * kMiB), "120 MiB");
}

TEST(Resources, ASwapLimitBelowTheMemoryLimitIsRefusedWithBothNumbers) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = WithMemory(Server(), 50 * kMiB);
  Resources(&config)->set_memory_swap_limit_in_bytes(40 * kMiB);
  const absl::Status status = Refusal(pod, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(50 * kMiB)));
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(40 * kMiB)));
}

TEST(Resources, UnifiedValuesAreAppliedOnV2AndRefusedByNameOnV1) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = WithMemory(Server(), 50 * kMiB);
  (*Resources(&config)->mutable_unified())["memory.high"] = std::to_string(40 * kMiB);
  if (CgroupV2()) {
    (*Resources(&config)->mutable_unified())["memory.oom.group"] = "1";
    const Container container = Container::Run(pod, config);
    EXPECT_EQ(MemoryFile(container.cgroup(), "memory.oom.group"), "1");
    EXPECT_EQ(MemoryFile(container.cgroup(), "memory.high"), std::to_string(40 * kMiB));
    return;
  }
  const absl::Status status = Refusal(pod, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("memory.high"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("v2"));
}

// Where the host's controllers can limit huge pages: the file of a cgroup; else "".
std::string HugepageFile(const std::string& cgroup) {
  const std::string file = CgroupV2() ? "/hugetlb.2MB.max" : "/hugetlb.2MB.limit_in_bytes";
  const std::string dir = CgroupDir("hugetlb", cgroup);
  return Exists(dir + file) ? dir + file : "";
}

TEST(Resources, HugepagesAreLimitedOrRefusedByTheirSize) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = Server();
  cri::HugepageLimit* limit = Resources(&config)->add_hugepage_limits();
  limit->set_page_size("2MB");
  limit->set_limit(4 * kMiB);
  const absl::Status status = Refusal(pod, config);
  if (status.ok()) {
    const Container container = Container::Run(pod, config);
    EXPECT_EQ(Trim(ReadFile(HugepageFile(container.cgroup()))), std::to_string(4 * kMiB));
  } else {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("2MB"));
  }
}

TEST(Resources, ThePodsCgroupGetsEveryLimitThatTheSandboxNames) {
  BERTH_NEEDS_OWN_DAEMON();
  BERTH_NEEDS_SWAP_ACCOUNTING();
  cri::PodSandboxConfig config = PodConfig();
  auto* resources = config.mutable_linux()->mutable_resources();
  resources->set_memory_limit_in_bytes(64 * kMiB);
  resources->set_memory_swap_limit_in_bytes(96 * kMiB);
  resources->set_cpuset_cpus("0");
  const Pod pod(config);
  EXPECT_EQ(SwapLimit(pod.cgroup(), 64 * kMiB), "96 MiB");
  EXPECT_EQ(Trim(ReadFile(CgroupDir("cpuset", pod.cgroup()) + "/cpuset.cpus")), "0");
  const Container container = Container::Run(pod, WithMemory(Server(), 50 * kMiB));
  EXPECT_EQ(SwapLimit(pod.cgroup(), 64 * kMiB), "96 MiB") << "also after its containers were counted";
}

TEST(Resources, APodLimitThatThisHostCannotSetIsRefusedAndLeavesNothing) {
  BERTH_NEEDS_OWN_DAEMON();
  for (const bool unified : {true, false}) {
    cri::PodSandboxConfig config = PodConfig();
    if (unified) {
      if (CgroupV2()) continue;
      (*config.mutable_linux()->mutable_resources()->mutable_unified())["memory.high"] = "1000000";
    } else {
      cri::HugepageLimit* limit = config.mutable_linux()->mutable_resources()->add_hugepage_limits();
      limit->set_page_size("32KB");  // no x86 has such pages
      limit->set_limit(65536);
    }
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    const absl::Status status = Cri().RunPodSandbox(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(unified ? "memory.high" : "32KB"));
    EXPECT_FALSE(MemoryCgroupExists(config.linux().cgroup_parent()));
  }
}

}  // namespace
}  // namespace berth::e2e
