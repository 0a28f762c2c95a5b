// SPDX-License-Identifier: Apache-2.0
// Names of what is spoken after an upgrade. Pure.
#pragma once

#include <string>
#include <string_view>

#include "cri/streaming/tokens.h"

namespace berth::cri::streaming {

// Which URL: "/exec/<token>", "/attach/<token>", "/portforward/<token>".
struct Target {
  Purpose purpose = Purpose::kExec;
  std::string token;
};
std::string PathOf(Purpose purpose, const std::string& token);

enum class Transport { kSpdy, kWebSocket };
struct Upgrade {
  Transport transport = Transport::kSpdy;
  // As answered: "v4.channel.k8s.io", "portforward.k8s.io", "SPDY/3.1+portforward.k8s.io"; "" for a WebSocket
  // whose client offers nothing.
  std::string protocol;
};

// 1 … 5 by the protocol's name.
int VersionOf(std::string_view protocol);
// Its messages are text: "base64.channel.k8s.io", "v4.base64.channel.k8s.io".
bool IsBase64(std::string_view protocol);

}  // namespace berth::cri::streaming
