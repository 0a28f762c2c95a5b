// SPDX-License-Identifier: Apache-2.0
#include "runtime/erasures.h"

#include <gtest/gtest.h>

#include "runtime/testing.h"

namespace berth::runtime {
namespace {

class ErasuresTest : public testing::Test {
 protected:
  ErasuresTest() { erasures_.Use(&store_); }
  ~ErasuresTest() override {
    timers_.Stop();
    executor_.Stop();
  }
  void Have(const std::string& pod, const std::vector<std::string>& containers) {
    ASSERT_TRUE(store_
                    .Write(
                        [&](store::Transaction& transaction) {
                          BERTH_RETURN_IF_ERROR(transaction.InsertPod({pod, pod, 1, "{}"}));
                          for (const auto& id : containers)
                            BERTH_RETURN_IF_ERROR(transaction.InsertContainer({id, pod, id, 1, "{}"}));
                          return absl::OkStatus();
                        },
                        store::Durability::kNormal)
                    .ok());
  }
  std::set<std::string> Rows() {
    std::set<std::string> ids;
    const auto pods = store_.Pods();
    const auto containers = store_.Containers();
    for (const auto& row : *pods) ids.insert(row.id);
    for (const auto& row : *containers) ids.insert(row.id);
    return ids;
  }

  TestDirectory dir_;
  FullableStore store_{dir_.path() + "/berth.db"};
  Timers timers_;
  base::Executor executor_{2};
  Erasures erasures_{executor_, timers_};
};

TEST_F(ErasuresTest, ARowThatCannotGoKeepsNoOtherAndGoesWhenItCan) {
  Have("stuck", {"lost"});  // a container that nobody has removed: the pod's row must stay
  Have("other", {"child"});
  erasures_.Pod("stuck");
  EXPECT_EQ(Rows(), (std::set<std::string>{"stuck", "lost", "other", "child"}));
  erasures_.Container("child");
  erasures_.Pod("other");
  EXPECT_EQ(Rows(), (std::set<std::string>{"stuck", "lost"}));
  EXPECT_FALSE(erasures_.Flush()) << "and it is not forgotten";
  erasures_.Container("lost");
  EXPECT_EQ(Rows(), std::set<std::string>());
  EXPECT_TRUE(erasures_.Flush());
}

TEST_F(ErasuresTest, WhatWaitsForRoomOnTheDiskGoesTogetherWhenThereIsSome) {
  Have("p", {"c"});
  store_.full = true;
  erasures_.Container("c");
  erasures_.Pod("p");
  EXPECT_FALSE(erasures_.Flush());
  EXPECT_EQ(Rows(), (std::set<std::string>{"p", "c"}));
  store_.full = false;
  EXPECT_TRUE(erasures_.Flush());
  EXPECT_EQ(Rows(), std::set<std::string>());
}

}  // namespace
}  // namespace berth::runtime
