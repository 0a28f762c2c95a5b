// SPDX-License-Identifier: Apache-2.0
// Isolation that cannot be had is refused in the open, never left out, and nothing half-made stays.
#include <gmock/gmock.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Refusals, ANetworkNamespaceThatTheKernelRefusesIsToldAndLeavesNothing) {
  BERTH_NEEDS_OWN_DAEMON();
#ifndef BERTH_FAULTS
  GTEST_SKIP() << "needs fault points (-DBERTH_FAULTS=ON): no kernel refuses root a namespace";
#else
  DaemonConfig setup = Environment::Get().AnotherDaemon("daemon-eperm");
  setup.environment = {"BERTH_FAULT=monitor.unshare_eperm:fail"};
  ScopedDaemon daemon(setup);
  const cri::PodSandboxConfig config = PodConfig();
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  const absl::Status refused = Cri().RunPodSandbox(request).status();
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("network namespace"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("Operation not permitted"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("berthd needs CAP_SYS_ADMIN"));
  EXPECT_EQ(Must(Cri().ListPodSandbox({})).items_size(), 0);
  EXPECT_FALSE(MemoryCgroupExists(config.linux().cgroup_parent()));
  EXPECT_THAT(ListDir(daemon->state() + "/pods"), IsEmpty());
  EXPECT_THAT(ListDir(daemon->root() + "/pods"), IsEmpty());
  daemon->config().environment.clear();
  daemon->Restart();
  const Pod pod(config);  // the same name, attempt and all
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_READY);
#endif
}

}  // namespace
}  // namespace berth::e2e
