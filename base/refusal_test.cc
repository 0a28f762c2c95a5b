// SPDX-License-Identifier: Apache-2.0
#include "base/refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace berth::base {
namespace {

using ::testing::HasSubstr;

TEST(LikelyCause, NamesTheRemedyOfTheUsualRefusals) {
  for (const Refused what : {Refused::kNamespace, Refused::kNamespacePin, Refused::kOverlay})
    EXPECT_THAT(LikelyCause(what, EPERM), HasSubstr("CAP_SYS_ADMIN"));
  EXPECT_THAT(LikelyCause(Refused::kNamespace, ENOSPC), HasSubstr("user.max_net_namespaces"));
  EXPECT_THAT(LikelyCause(Refused::kNamespacePin, ENOSPC), HasSubstr("fs.mount-max"));
  EXPECT_THAT(LikelyCause(Refused::kOverlay, ENODEV), HasSubstr("modprobe overlay"));
  EXPECT_THAT(LikelyCause(Refused::kOverlay, EINVAL), HasSubstr("ext4 or xfs"));
  EXPECT_THAT(LikelyCause(Refused::kIdMap, EPERM), HasSubstr("CAP_SETUID"));
}

TEST(LikelyCause, IsSilentWhereItKnowsNoMoreThanTheKernel) {
  for (const Refused what : {Refused::kNamespace, Refused::kNamespacePin, Refused::kOverlay, Refused::kIdMap})
    EXPECT_STREQ(LikelyCause(what, EIO), "");
}

}  // namespace
}  // namespace berth::base
