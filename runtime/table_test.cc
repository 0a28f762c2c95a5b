// SPDX-License-Identifier: Apache-2.0
#include "runtime/table.h"

#include <gtest/gtest.h>

namespace berth::runtime {
namespace {

std::shared_ptr<const PodStatus> Pod(const std::string& id) {
  auto pod = std::make_shared<PodStatus>();
  pod->id = id;
  return pod;
}

TEST(Table, ShowsAChangeInTheNextSnapshotOnly) {
  Table table;
  const auto before = table.Get();
  table.Put(Pod("aa11"));
  EXPECT_TRUE(before->pods.empty());
  EXPECT_EQ(table.Get()->pods.size(), 1U);
  table.ErasePod("aa11");
  EXPECT_TRUE(table.Get()->pods.empty());
}

TEST(Table, FindsByUnambiguousPrefix) {
  Table table;
  table.Put(Pod("aa11"));
  table.Put(Pod("aa22"));
  table.Put(Pod("bb"));
  EXPECT_EQ((*table.FindPod("aa1"))->id, "aa11");
  EXPECT_EQ((*table.FindPod("b"))->id, "bb");
  EXPECT_EQ(table.FindPod("aa").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table.FindPod("cc").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(table.FindPod("aa111").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(table.FindPod("").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Table, PrefersTheWholeIdToAPrefixOfAnother) {
  Table table;
  table.Put(Pod("aa"));
  table.Put(Pod("aab"));
  EXPECT_EQ((*table.FindPod("aa"))->id, "aa");
}

}  // namespace
}  // namespace berth::runtime
