// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

namespace berth::runtime::security {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

CapabilitySets Compute(const ContainerConfig& container) {
  const auto sets = ComputeCapabilities(container, KnownCapabilities());
  EXPECT_TRUE(sets.ok()) << sets.status();
  return sets.value_or(CapabilitySets{});
}

TEST(CapabilitiesTest, TheKernelsNamesAreAllKnown) {
  EXPECT_GE(KnownCapabilities().size(), CAP_LAST_CAP + 1u);
}

TEST(CapabilitiesTest, WithoutAWordItIsTheDefaultSet) {
  EXPECT_THAT(Compute({}).bounding,
              ElementsAre("CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
                          "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
                          "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"));
  EXPECT_THAT(Compute({}).ambient, IsEmpty());
}

TEST(CapabilitiesTest, AnySpellingIsUnderstood) {
  for (const char* text : {"NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin", "Cap_Net_Admin"}) {
    EXPECT_EQ(ParseCapability(text), "CAP_NET_ADMIN") << text;
  }
  for (const char* text : {"", "CAP_", "ALL", "NETADMIN", "CAP_CAP_NET_ADMIN", "NET_ADMIN ", "NET_ADMIN\n"}) {
    EXPECT_FALSE(ParseCapability(text)) << text;
  }
}

TEST(CapabilitiesTest, AddAndDropWithAllInEitherList) {
  ContainerConfig c;
  c.drop_capabilities = {"all"};
  EXPECT_THAT(Compute(c).bounding, IsEmpty());
  c.add_capabilities = {"net_bind_service"};
  EXPECT_THAT(Compute(c).bounding, ElementsAre("CAP_NET_BIND_SERVICE"));
  c.add_capabilities = {"ALL"};
  EXPECT_THAT(Compute(c).bounding, IsEmpty());
  c.drop_capabilities = {"CAP_SYS_ADMIN"};
  EXPECT_EQ(Compute(c).bounding.size(), KnownCapabilities().size() - 1);
  EXPECT_THAT(Compute(c).bounding, Not(Contains("CAP_SYS_ADMIN")));
  c.add_capabilities = {"KILL", "SYS_PTRACE"};
  c.drop_capabilities = {"KILL"};
  EXPECT_THAT(Compute(c).bounding, Not(Contains("CAP_KILL")));
  EXPECT_THAT(Compute(c).bounding, Contains("CAP_SYS_PTRACE"));
}

TEST(CapabilitiesTest, OnlyAmbientOnesAreInheritable) {
  ContainerConfig c;
  c.add_capabilities = {"NET_ADMIN"};
  c.add_ambient_capabilities = {"SYS_NICE", "SYS_TIME"};
  c.drop_capabilities = {"SYS_TIME"};
  EXPECT_THAT(Compute(c).ambient, ElementsAre("CAP_SYS_NICE"));
  EXPECT_THAT(Compute(c).bounding, Contains("CAP_SYS_NICE"));
  EXPECT_THAT(Compute(c).bounding, Not(Contains("CAP_SYS_TIME")));
}

TEST(CapabilitiesTest, PrivilegedGetsWhatWeHaveAndNothingElse) {
  ContainerConfig c;
  c.privileged = true;
  c.drop_capabilities = {"ALL"};
  EXPECT_THAT(ComputeCapabilities(c, {"CAP_KILL", "CAP_CHOWN"})->bounding,
              ElementsAre("CAP_CHOWN", "CAP_KILL"));
}

TEST(CapabilitiesTest, WhatWeLackIsLeftOutOfTheDefaultsButRefusedByName) {
  EXPECT_THAT(ComputeCapabilities({}, {"CAP_CHOWN"})->bounding, ElementsAre("CAP_CHOWN"));
  ContainerConfig c;
  c.add_capabilities = {"SYS_RESOURCE"};
  const auto sets = ComputeCapabilities(c, {"CAP_CHOWN"});
  EXPECT_EQ(sets.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(sets.status().message(), HasSubstr("'CAP_SYS_RESOURCE'"));
  c.add_capabilities = {"ALL"};
  EXPECT_THAT(ComputeCapabilities(c, {"CAP_CHOWN"})->bounding, ElementsAre("CAP_CHOWN"));
}

TEST(CapabilitiesTest, UnknownNamesAreRefusedInEveryList) {
  for (auto list : {&ContainerConfig::add_capabilities, &ContainerConfig::drop_capabilities,
                    &ContainerConfig::add_ambient_capabilities}) {
    ContainerConfig c;
    c.*list = {"FLY"};
    const auto sets = ComputeCapabilities(c, KnownCapabilities());
    EXPECT_EQ(sets.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(sets.status().message(), HasSubstr("'FLY'"));
  }
}

}  // namespace
}  // namespace berth::runtime::security
