// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;
using testing::HasSubstr;

TEST(ResourcesFromCri, ZeroAndEmptyMeanLeaveAsItIs) {
  const auto resources = ResourcesFrom(v1::LinuxContainerResources());
  ASSERT_TRUE(resources.ok());
  EXPECT_EQ(resources->cpu_shares, std::nullopt);
  EXPECT_EQ(resources->cpu_quota_us, std::nullopt);
  EXPECT_EQ(resources->cpu_period_us, std::nullopt);
  EXPECT_EQ(resources->memory_limit_bytes, std::nullopt);
  EXPECT_EQ(resources->memory_swap_limit_bytes, std::nullopt);
  EXPECT_EQ(resources->cpuset_cpus, "");
}

TEST(ResourcesFromCri, MinusOneIsUnlimited) {
  v1::LinuxContainerResources in;
  in.set_cpu_quota(-1);
  in.set_memory_limit_in_bytes(-1);
  in.set_memory_swap_limit_in_bytes(-1);
  const auto resources = ResourcesFrom(in);
  ASSERT_TRUE(resources.ok());
  EXPECT_EQ(resources->cpu_quota_us, cgroupfs::kUnlimited);
  EXPECT_EQ(resources->memory_limit_bytes, cgroupfs::kUnlimited);
  EXPECT_EQ(resources->memory_swap_limit_bytes, cgroupfs::kUnlimited);
}

TEST(ResourcesFromCri, NumbersThatMeanNothingAreRefusedByName) {
  v1::LinuxContainerResources in;
  in.set_cpu_quota(-2);
  EXPECT_THAT(ResourcesFrom(in).status().message(), HasSubstr("cpu_quota -2"));
  in = {};
  in.set_cpu_shares(-1);
  EXPECT_THAT(ResourcesFrom(in).status().message(), HasSubstr("cpu_shares -1 is negative"));
  in = {};
  in.set_memory_limit_in_bytes(-5);
  EXPECT_EQ(ResourcesFrom(in).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ResourcesFromCri, AUnifiedKeyCannotLeaveTheCgroup) {
  for (const char* key : {"../memory.max", "sub/memory.max", "", ".."}) {
    v1::LinuxContainerResources in;
    (*in.mutable_unified())[key] = "1";
    EXPECT_EQ(ResourcesFrom(in).status().code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

TEST(ResourcesFromCri, WhatWasGivenIsEchoedUnchanged) {
  v1::LinuxContainerResources in;
  in.set_cpu_shares(102);
  in.set_cpu_quota(-1);
  in.set_cpu_period(100000);
  in.set_memory_limit_in_bytes(52428800);
  in.set_memory_swap_limit_in_bytes(52428800);
  in.set_oom_score_adj(-997);
  in.set_cpuset_cpus("0-1");
  in.set_cpuset_mems("0");
  auto* huge = in.add_hugepage_limits();
  huge->set_page_size("2MB");
  huge->set_limit(0);
  (*in.mutable_unified())["memory.oom.group"] = "1";
  const auto resources = ResourcesFrom(in);
  ASSERT_TRUE(resources.ok());
  v1::LinuxContainerResources echoed;
  EchoResources(*resources, in.oom_score_adj(), &echoed);
  EXPECT_EQ(echoed.DebugString(), in.DebugString());
}

}  // namespace
}  // namespace berth::cri
