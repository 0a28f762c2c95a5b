// SPDX-License-Identifier: Apache-2.0
// How Kubernetes puts several streams into one WebSocket: each message begins with its channel. In the binary
// protocols that is a byte; in the base64 ones an ASCII digit, and the rest is base64 text. v5 adds the
// message {255, channel}: that channel is half-closed. Pure; not thread safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace berth::cri::streaming {

struct ChannelProtocol {
  bool base64 = false;
  bool can_close = false;  // v5
};

class ChannelReader {
 public:
  struct Events {
    std::function<void(unsigned channel, std::string_view part)> data;
    std::function<void(unsigned channel)> closed;
  };
  ChannelReader(ChannelProtocol protocol, Events events) : protocol_(protocol), events_(std::move(events)) {}
  // A part of a message as it arrives, so that no message is held whole; `last`: the message ends with it.
  // What is told does not depend on where a message is cut, a malformed one's beginning included.
  absl::Status Feed(std::string_view part, bool last);

 private:
  absl::Status OnText(std::string_view part, bool last);

  const ChannelProtocol protocol_;
  const Events events_;
  int channel_ = -1;     // of the message that is arriving; -1 before its first byte
  std::string held_;     // base64: up to three characters that are no whole group yet; v5: the close message
  bool padded_ = false;  // base64: the message may only end now
};

// A message for `channel`: its first bytes and the rest, which is `data` itself where that goes as it is.
struct ChannelMessage {
  std::string head;
  std::string body;
};
ChannelMessage MakeChannelMessage(ChannelProtocol protocol, unsigned channel, std::string data);

}  // namespace berth::cri::streaming
