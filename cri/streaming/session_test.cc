// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <future>

#include "base/executor.h"
#include "cri/streaming/command_session.h"

namespace berth::cri::streaming {
namespace {

// What became of a command's streams.
struct Seen {
  std::promise<void> at_work;  // InputEnds() was entered
  std::promise<void> go_on;    // and may return
  std::atomic<bool> abandoned = false;
  std::atomic<bool> destroyed = false;
};

class FakeStdio final : public runtime::Stdio {
 public:
  explicit FakeStdio(Seen& seen) : seen_(seen) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    reader_.Reset(ends[0]);
    in.Reset(ends[1]);
  }
  ~FakeStdio() override { seen_.destroyed = true; }
  absl::StatusOr<std::int32_t> ExitCode() override { return 0; }
  void InputEnds() override {
    seen_.at_work.set_value();
    seen_.go_on.get_future().wait();
  }
  void Abandon() override { seen_.abandoned = true; }

 private:
  Seen& seen_;
  base::UniqueFd reader_;
};

class FakeClient final : public RemoteClient {
 public:
  void Start(Events given) override { events = std::move(given); }
  void Send(Output, std::string) override {}
  bool full() const override { return false; }
  void HoldInput(bool hold) override { held = hold; }
  void Finish(const Outcome&) override {}
  void Close() override {}
  Events events;
  bool held = false;  // from `ready` until the streams are there
};

class CommandSessionTest : public testing::Test {
 protected:
  void Start(std::function<CommandSession::Opened()> open) {
    CommandSession::Parts parts;
    parts.thread = io_.get_executor();
    parts.executor = &executor_;
    parts.client = client_;
    parts.ticket.in = true;
    parts.open = std::move(open);
    std::make_shared<CommandSession>(std::move(parts))->Start([this] { done_ = true; });
    client_->events.ready();
  }
  void RunUntil(const std::function<bool()>& there) {
    while (!there()) io_.run_one();
  }
  void LeaveClient() { client_->events.gone(absl::CancelledError("it left")); }
  void TearDown() override { client_->events = {}; }  // a client that is closed lets its session go

  Seen seen_;
  base::Executor executor_{4, "test"};
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::shared_ptr<FakeClient> client_ = std::make_shared<FakeClient>();
  bool done_ = false;
};

TEST_F(CommandSessionTest, AClientThatLeavesTakesNoStreamsFromUnderWorkThatIsStillDone) {
  Start([&]() -> CommandSession::Opened { return std::make_unique<FakeStdio>(seen_); });
  RunUntil([&] { return !client_->held; });
  client_->events.input_end();
  std::future<void> at_work = seen_.at_work.get_future();
  at_work.wait();
  LeaveClient();
  RunUntil([&] { return done_; });
  EXPECT_TRUE(seen_.abandoned);
  EXPECT_FALSE(seen_.destroyed) << "InputEnds() is still at work with them";
  seen_.go_on.set_value();
  executor_.Stop();
  io_.poll();
  EXPECT_TRUE(seen_.destroyed);
}

TEST_F(CommandSessionTest, AClientThatLeavesWhileItsCommandStartsLeavesNothing) {
  std::promise<void> may_open;
  Start([&]() -> CommandSession::Opened {
    may_open.get_future().wait();
    return std::make_unique<FakeStdio>(seen_);
  });
  LeaveClient();
  io_.poll();
  EXPECT_FALSE(done_) << "the command may come yet";
  may_open.set_value();
  RunUntil([&] { return done_; });
  EXPECT_TRUE(seen_.abandoned);
}

}  // namespace
}  // namespace berth::cri::streaming
