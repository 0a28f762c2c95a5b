// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace berth::base {
namespace {

TEST(Executor, GrowsWhileItsThreadsAreBlocked) {
  std::promise<void> open;
  const std::shared_future<void> gate = open.get_future().share();
  std::atomic<int> inside{0};
  std::promise<void> all_inside;
  Executor executor(8);  // last: it joins before what its work uses is gone
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(executor.Submit([&] {
      if (++inside == 8) all_inside.set_value();
      gate.wait();
    }));
  }
  EXPECT_EQ(all_inside.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  open.set_value();
}

TEST(Executor, RunsWhatItAcceptedBeforeItStops) {
  std::atomic<int> done{0};
  Executor executor(2);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(executor.Submit([&] { ++done; }));
  executor.Stop();
  EXPECT_EQ(done, 100);
  EXPECT_FALSE(executor.Submit([] {}));
}

}  // namespace
}  // namespace berth::base
