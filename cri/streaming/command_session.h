// SPDX-License-Identifier: Apache-2.0
// One exec or attach: the client on one side, the standard streams on the other, and what has to happen when
// either ends. On the streaming thread; what blocks runs on the executor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "cri/streaming/fd_io.h"
#include "cri/streaming/remote_client.h"
#include "runtime/stdio.h"

namespace berth::cri::streaming {

class CommandSession : public std::enable_shared_from_this<CommandSession> {
 public:
  using Opened = absl::StatusOr<std::unique_ptr<runtime::Stdio>>;
  struct Parts {
    boost::asio::any_io_executor thread;  // the streaming thread
    base::Executor* executor = nullptr;
    std::shared_ptr<RemoteClient> client;
    Ticket ticket;
    std::function<Opened()> open;  // blocks
  };
  explicit CommandSession(Parts parts) : parts_(std::move(parts)) {}
  // `done`: on the streaming thread, once nothing of it is left on the host (the client's connection may
  // still be saying goodbye).
  void Start(std::function<void()> done);

 private:
  void OnReady();
  void Begin(Opened opened);
  void Connect();
  std::shared_ptr<FdSource> Source(base::UniqueFd fd, Output output, bool wanted);
  void OnInput(std::string_view bytes);
  void OnInputEnd();
  void EndInput();
  void OnResize(TerminalSize size);
  void OnGone(const absl::Status& why);
  void AwaitEnd();
  void OnEnded();
  void FinishIfDrained();
  void Finish(const Outcome& outcome);
  void Resume();
  // Runs on the executor with the streams, then `then` here.
  void OffThread(std::function<void(runtime::Stdio&)> work, std::function<void()> then);
  void Leave();

  const Parts parts_;
  std::function<void()> done_;
  std::shared_ptr<runtime::Stdio> stdio_;
  std::shared_ptr<FdSource> out_, err_;
  std::shared_ptr<FdSink> in_;
  std::shared_ptr<boost::asio::posix::stream_descriptor> ended_;
  std::string early_input_;  // what came before the streams were there
  bool input_ended_ = false;
  bool input_gone_ = false;  // nobody reads it any more
  bool begun_ = false;       // opening is under way or over
  bool gone_ = false;        // the client, or our interest in it
  std::optional<TerminalSize> size_;
  std::optional<Outcome> outcome_;  // an exec's, once it has ended
};

}  // namespace berth::cri::streaming
