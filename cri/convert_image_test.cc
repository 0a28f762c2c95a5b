// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_image.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "cri/pull.h"

namespace berth::cri {
namespace {

::runtime::v1::Image WithUser(const std::string& user) {
  image::ImageRecord record;
  record.id = "sha256:abc";
  record.config.user = user;
  return ImageMessage(record);
}

TEST(ImageToCri, ANumberIsAUid) {
  EXPECT_EQ(WithUser("1002").uid().value(), 1002);
  EXPECT_EQ(WithUser("1002").username(), "");
  EXPECT_EQ(WithUser("1003:44").uid().value(), 1003);
  EXPECT_EQ(WithUser("0").has_uid(), true);
}

TEST(ImageToCri, AWordIsAName) {
  EXPECT_FALSE(WithUser("tester:users").has_uid());
  EXPECT_EQ(WithUser("tester:users").username(), "tester");
}

TEST(ImageToCri, NothingIsNeither) {
  EXPECT_FALSE(WithUser("").has_uid());
  EXPECT_EQ(WithUser("").username(), "");
}

TEST(ImageToCri, DigitsOutOfRangeNeverBecomeRoot) {
  for (const char* user : {"4294967295", "99999999999999999999"}) {
    EXPECT_FALSE(WithUser(user).has_uid());
    EXPECT_EQ(WithUser(user).username(), user) << "refused later; as 'neither' it would run as root";
  }
}

TEST(ImageToCri, TheSizeIsNeverZero) { EXPECT_GT(WithUser("").size(), 0U); }

TEST(ImageInfo, CarriesThePublishedConfiguration) {
  image::ImageRecord record;
  record.config_json = R"({"config":{"Env":["A=1"]}})";
  record.diff_ids = {"sha256:1"};
  const auto info = nlohmann::json::parse(ImageInfo(record).at("info"));
  EXPECT_EQ(info["imageSpec"]["config"]["Env"][0], "A=1");
  EXPECT_EQ(info["diffIDs"][0], "sha256:1");
  record.config_json = "not json";
  EXPECT_TRUE(nlohmann::json::parse(ImageInfo(record).at("info"))["imageSpec"].is_null());
}

TEST(UsageToCri, HasTheFieldsThatKubeletDereferences) {
  ::runtime::v1::FilesystemUsage usage;
  FillUsage({0, "/m", 0, 0}, &usage);
  EXPECT_TRUE(usage.has_used_bytes()) << "also on an empty store";
  EXPECT_GT(usage.timestamp(), 0);
  EXPECT_EQ(usage.fs_id().mountpoint(), "/m");
}

TEST(PullErrors, ARegistryThatDoesNotAnswerIsToldInKubeletsWords) {
  const auto told = PullError(absl::UnavailableError("registry.test: connection refused"));
  EXPECT_EQ(told.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(told.message(), "RegistryUnavailable: registry.test: connection refused");
  EXPECT_EQ(PullError(absl::NotFoundError("no")).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace berth::cri
