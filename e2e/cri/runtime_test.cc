// SPDX-License-Identifier: Apache-2.0
// What kubelet asks before it starts anything: Version, Status, RuntimeConfig, UpdateRuntimeConfig.
#include <gmock/gmock.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "e2e/cri/harness/environment.h"

namespace berth::e2e {
namespace {

TEST(Runtime, AnswersTheEmptyVersionRequestOfAConnectionProbe) {
  const cri::VersionResponse version = Must(Cri().Version({}));
  EXPECT_EQ(version.version(), "0.1.0");  // kubelet exits unless it is exactly this
  EXPECT_THAT(version.runtime_version(), testing::MatchesRegex("v?[0-9]+\\.[0-9]+\\.[0-9]+.*"));
  EXPECT_THAT(version.runtime_api_version(), testing::MatchesRegex("v[0-9].*"));
  if (OwnDaemon()) {
    EXPECT_EQ(version.runtime_name(), "berth");
  }
}

TEST(Runtime, AnswersTheVersionThatKubeletSends) {
  cri::VersionRequest request;
  request.set_version("0.1.0");
  EXPECT_EQ(Must(Cri().Version(request)).version(), "0.1.0");
}

TEST(Runtime, IsReadyAndSaysSoInBothConditions) {
  const cri::StatusResponse reply = Must(Cri().Status({}));
  std::map<std::string, bool> conditions;
  for (const cri::RuntimeCondition& condition : reply.status().conditions()) {
    conditions[condition.type()] = condition.status();
  }
  EXPECT_TRUE(conditions["RuntimeReady"]);
  EXPECT_TRUE(conditions["NetworkReady"]);
  EXPECT_TRUE(reply.info().empty()) << "info is for verbose requests";
}

TEST(Runtime, ListsItsHandlersWithTheDefaultAsTheEmptyName) {
  BERTH_NEEDS_OWN_DAEMON();
  std::vector<std::string> names;
  const cri::StatusResponse reply = Must(Cri().Status({}));
  for (const cri::RuntimeHandler& handler : reply.runtime_handlers()) names.push_back(handler.name());
  EXPECT_THAT(names, testing::Contains(""));
  EXPECT_THAT(names, testing::Contains(testing::AnyOf("runc", "crun")));
  EXPECT_TRUE(reply.features().supplemental_groups_policy());
}

TEST(Runtime, VerboseStatusIsJsonAndNamesASandboxImageForKubeadm) {
  BERTH_NEEDS_OWN_DAEMON();
  cri::StatusRequest request;
  request.set_verbose(true);
  const cri::StatusResponse reply = Must(Cri().Status(request));
  ASSERT_TRUE(reply.info().contains("config"));
  const auto config = nlohmann::json::parse(reply.info().at("config"));
  EXPECT_TRUE(config.contains("sandboxImage"));
  for (const auto& [key, value] : reply.info()) {
    EXPECT_TRUE(nlohmann::json::parse(value).is_object()) << key << " is one long string in crictl";
  }
}

TEST(Runtime, TellsTheCgroupDriverThatItsConfigurationNames) {
  BERTH_NEEDS_OWN_DAEMON();
  const cri::RuntimeConfigResponse reply = Must(Cri().RuntimeConfig({}));
  ASSERT_TRUE(reply.has_linux());
  EXPECT_EQ(reply.linux().cgroup_driver(), cri::CGROUPFS);
}

TEST(Runtime, AcceptsAPodCidr) {
  cri::UpdateRuntimeConfigRequest request;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.88.0.0/16");
  Must(Cri().UpdateRuntimeConfig(request));
  Must(Cri().UpdateRuntimeConfig({}));
}

TEST(Runtime, GivesImageFileSystemFactsThatKubeletDereferences) {
  const cri::ImageFsInfoResponse reply = Must(Cri().ImageFsInfo({}));
  ASSERT_GE(reply.image_filesystems_size(), 1);
  const cri::FilesystemUsage& usage = reply.image_filesystems(0);
  EXPECT_TRUE(usage.has_used_bytes());
  EXPECT_GT(usage.timestamp(), 0);
  EXPECT_EQ(::access(usage.fs_id().mountpoint().c_str(), F_OK), 0) << usage.fs_id().mountpoint();
}

}  // namespace
}  // namespace berth::e2e
