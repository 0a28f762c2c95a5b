// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <system_error>
#include <thread>
#include <vector>

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

// The node's limit of threads: the first `most` are given, and those after Lift().
class FewThreads {
 public:
  explicit FewThreads(int most) : left_(most) {}
  void Lift() { left_ = 1000; }
  int refused() const { return refused_; }
  Executor::StartThread Start() {
    return [this](std::function<void()> body) {
      if (left_-- <= 0) {
        ++refused_;
        return EAGAIN;
      }
      std::thread(std::move(body)).detach();
      return 0;
    };
  }

 private:
  std::atomic<int> left_, refused_{0};
};

TEST(Executor, DoesWhatItTookOnInOrderWhenTheNodeGivesNoThreadButTheFirst) {
  FewThreads node(1);
  std::vector<int> order;
  Executor executor(8, "few", 1, node.Start());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(executor.Submit([&order, i] { order.push_back(i); }));
  executor.Stop();
  ASSERT_EQ(order.size(), 50U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Executor, RefusesWorkThatSomebodyWaitsForWhenTheNodeGivesNoThread) {
  FewThreads node(1);
  std::promise<void> open;
  std::promise<void> inside;
  Executor executor(8, "few", 1, node.Start());
  ASSERT_TRUE(executor.Submit([&] {
    inside.set_value();
    open.get_future().wait();
  }));
  inside.get_future().wait();
  const absl::Status refused = executor.TrySubmit([] {});
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("the node gives no further thread"), std::string::npos) << refused;
  open.set_value();
}

TEST(Executor, AsksForMoreThreadsAsSoonAsTheNodeGivesThem) {
  FewThreads node(2);
  std::promise<void> first_open, open, all_inside;
  const std::shared_future<void> first_gate = first_open.get_future(), gate = open.get_future();
  std::atomic<int> blocked{0}, inside{0};
  std::promise<void> both_blocked;
  Executor executor(8, "few", 2, node.Start());
  const auto block = [&](const std::shared_future<void>& until) {
    if (++blocked == 2) both_blocked.set_value();
    until.wait();
  };
  ASSERT_TRUE(executor.Submit([&] { block(first_gate); }));
  ASSERT_TRUE(executor.Submit([&] { block(gate); }));
  both_blocked.get_future().wait();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(executor.Submit([&] {
      if (++inside == 4) all_inside.set_value();
      gate.wait();
    }));
  }
  EXPECT_GE(node.refused(), 4);
  node.Lift();
  first_open.set_value();  // one thread comes free; nobody submits anything more
  EXPECT_EQ(all_inside.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  open.set_value();
}

TEST(Executor, IsNotMadeWithoutTheThreadsThatStay) {
  FewThreads node(1);
  EXPECT_THROW(Executor(8, "few", 2, node.Start()), std::system_error);
}

}  // namespace
}  // namespace berth::base
