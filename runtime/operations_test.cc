// SPDX-License-Identifier: Apache-2.0
#include "runtime/operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <thread>
#include <utility>

#include "runtime/activity.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kLongLifeNs = 3600 * base::kSecondNs;

// Work that ends when the test says so, and counts what happens to its result.
struct Controlled {
  std::promise<absl::StatusOr<std::string>> result;
  std::atomic<int> begun{0};
  std::atomic<int> claimed{0};
  std::promise<void> rolled_back;

  Operation MakeOperation() {
    Operation operation;
    operation.what = "creating the pod";
    operation.work = [this, future = std::make_shared<std::shared_future<absl::StatusOr<std::string>>>(
                                result.get_future().share())](Progress& progress) {
      ++begun;
      progress.Enter("network ADD");
      return future->get();
    };
    operation.claim = [this](const std::string&) { ++claimed; };
    operation.roll_back = [this](const std::string&) { rolled_back.set_value(); };
    return operation;
  }
};

// Must not run: a caller that joins never starts its own work.
Operation Forbidden() {
  Operation operation;
  operation.what = "forbidden";
  operation.work = [](Progress&) -> absl::StatusOr<std::string> { return absl::InternalError("ran twice"); };
  operation.claim = [](const std::string&) {};
  operation.roll_back = [](const std::string&) {};
  return operation;
}

struct Fixture {
  explicit Fixture(std::int64_t life_ns = kLongLifeNs) : operations(executor, timers, life_ns) {}
  ~Fixture() { executor.Stop(); }  // what runs still uses the operations
  Timers timers;
  base::Executor executor{8};
  Operations operations;
};

TEST(Operations, GiveTheResultToWhoAsked) {
  Controlled work;
  Fixture fixture;
  Operations& operations = fixture.operations;
  work.result.set_value(std::string("id"));
  const auto id = operations.Run("key", work.MakeOperation(), Caller{});
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(*id, "id");
  EXPECT_EQ(work.claimed, 1);
}

TEST(Operations, LetARetryJoinTheWorkThatACancelledCallerLeft) {
  Controlled work;
  Fixture fixture;
  Operations& operations = fixture.operations;
  Caller caller;
  caller.cancellation = std::make_shared<base::Cancellation>();
  auto first =
      std::async(std::launch::async, [&] { return operations.Run("key", work.MakeOperation(), caller); });
  caller.cancellation->Cancel();
  const auto left = first.get();
  EXPECT_EQ(left.status().code(), absl::StatusCode::kCancelled);
  auto second = std::async(std::launch::async, [&] { return operations.Run("key", Forbidden(), Caller{}); });
  work.result.set_value(std::string("id"));
  const auto id = second.get();
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, "id");
  EXPECT_EQ(work.begun, 1);
  EXPECT_EQ(work.claimed, 1);
}

TEST(Operations, NameTheStageToACallerWhoseDeadlineComes) {
  Controlled work;
  Fixture fixture;
  Operations& operations = fixture.operations;
  Caller caller;
  caller.deadline = base::Deadline::After(400 * base::kMillisecondNs);
  const auto left = operations.Run("key", work.MakeOperation(), caller);
  EXPECT_EQ(left.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(left.status().message()),
              testing::HasSubstr("creating the pod: 0 s, of these 0 s in stage 'network ADD'"));
  EXPECT_FALSE(caller.deadline.Passed());  // the answer arrives before the client gives up
  work.result.set_value(absl::InternalError("over"));
  fixture.executor.Stop();  // Operations must outlive its work
}

TEST(Operations, RollBackWhatNobodyCameFor) {
  Controlled work;
  Fixture fixture(base::kMillisecondNs);
  Operations& operations = fixture.operations;
  Caller caller;
  caller.cancellation = std::make_shared<base::Cancellation>();
  caller.cancellation->Cancel();
  (void)operations.Run("key", work.MakeOperation(), caller);
  work.result.set_value(std::string("id"));
  EXPECT_EQ(work.rolled_back.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(work.claimed, 0);
}

TEST(Operations, GiveNoResultToACallerWhoLeftAtTheLastMoment) {
  std::vector<std::unique_ptr<Controlled>> works;  // outlive the threads
  Fixture fixture;
  Operations operations(fixture.executor, fixture.timers, base::kMillisecondNs);
  for (int i = 0; i < 200; ++i) {
    Controlled& work = *works.emplace_back(std::make_unique<Controlled>());
    work.result.set_value(std::string("id"));
    Caller caller;
    caller.cancellation = std::make_shared<base::Cancellation>();
    Operation operation = work.MakeOperation();
    operation.work = [inner = std::move(operation.work), caller](Progress& progress) {
      auto result = inner(progress);
      caller.cancellation->Cancel();
      return result;
    };
    const auto id = operations.Run("key", std::move(operation), caller);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kCancelled);
    ASSERT_EQ(work.rolled_back.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
    ASSERT_EQ(work.claimed, 0);
  }
}

TEST(Timers, RunNothingAfterTheyWereStopped) {
  Timers timers;
  std::atomic<int> ran{0};
  std::promise<void> first;
  timers.After(0, [&] {
    ++ran;
    first.set_value();
  });
  first.get_future().wait();
  timers.Stop();
  timers.After(0, [&] { ++ran; });
  timers.Stop();
  EXPECT_EQ(ran, 1);
}

TEST(Operations, StartAnewAfterAFailure) {
  Controlled failing;
  Controlled good;
  Fixture fixture;
  Operations& operations = fixture.operations;
  failing.result.set_value(absl::InternalError("no"));
  EXPECT_FALSE(operations.Run("key", failing.MakeOperation(), Caller{}).ok());
  good.result.set_value(std::string("id"));
  EXPECT_TRUE(operations.Run("key", good.MakeOperation(), Caller{}).ok());
  EXPECT_EQ(good.begun, 1);
}

TEST(Operations, DoneHereNeedNoFurtherThread) {
  std::promise<absl::Status> done;
  Timers timers;
  bool first = true;
  base::Executor executor(8, "few", 1, [&](std::function<void()> body) {
    if (!std::exchange(first, false)) return EAGAIN;
    std::thread(std::move(body)).detach();
    return 0;
  });
  Operations operations(executor, timers, kLongLifeNs);
  const auto nothing = [](Progress&) { return absl::OkStatus(); };
  ASSERT_TRUE(executor.Submit([&] { done.set_value(operations.DoHere("key", "finishing a pod", nothing)); }));
  EXPECT_TRUE(done.get_future().get().ok());
  executor.Stop();
}

TEST(Operations, DoneHereJoinWhatIsUnderWay) {
  Controlled work;
  Fixture fixture;
  Operations& operations = fixture.operations;
  Caller caller;
  caller.cancellation = std::make_shared<base::Cancellation>();
  caller.cancellation->Cancel();
  EXPECT_FALSE(operations.Run("key", work.MakeOperation(), caller).ok());
  work.result.set_value(std::string("id"));
  EXPECT_TRUE(operations.DoHere("key", "twice", [](Progress&) { return absl::InternalError("ran"); }).ok());
  EXPECT_EQ(work.begun, 1);
}

TEST(Activity, NamesWhatIsUnderWayWhenItDoesNotEnd) {
  Activity activity;
  const auto held = activity.Begin("start", base::Deadline::Never());
  ASSERT_TRUE(held.ok());
  const auto refused = activity.Begin("stop", base::Deadline::After(base::kMillisecondNs));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(refused.status().message()), testing::StartsWith("'start' is under way"));
}

}  // namespace
}  // namespace berth::runtime
