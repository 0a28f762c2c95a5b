// SPDX-License-Identifier: Apache-2.0
// The client of an exec or an attach, whatever protocol it speaks. On the streaming thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cri/streaming/remote_command.h"
#include "cri/streaming/tokens.h"
#include "cri/streaming/wire.h"

namespace berth::cri::streaming {

enum class Output { kStdout, kStderr };

class RemoteClient {
 public:
  struct Events {
    std::function<void()> ready;  // all streams are there: once
    std::function<void(std::string_view)> input;
    std::function<void()> input_end;  // once: the client sends no more input
    std::function<void(TerminalSize)> resize;
    std::function<void()> writable;
    std::function<void(const absl::Status&)> gone;  // once, also before `ready`; not after Finish or Close
  };
  virtual ~RemoteClient() = default;
  virtual void Start(Events events) = 0;
  virtual void Send(Output output, std::string bytes) = 0;
  virtual bool full() const = 0;
  virtual void HoldInput(bool hold) = 0;
  // Ends the streams, tells the outcome, closes the connection when the client has it all.
  virtual void Finish(const Outcome& outcome) = 0;
  virtual void Close() = 0;
};

// `ticket` says which streams there are. `idle_ns`: Wire::Start's.
struct ClientOptions {
  std::string protocol;
  std::string early;  // what came with the upgrade request
  std::int64_t idle_ns = 0;
};
std::shared_ptr<RemoteClient> MakeSpdyClient(std::shared_ptr<Wire> wire, const Ticket& ticket,
                                             ClientOptions options);
std::shared_ptr<RemoteClient> MakeWsClient(std::shared_ptr<Wire> wire, const Ticket& ticket,
                                           ClientOptions options);

}  // namespace berth::cri::streaming
