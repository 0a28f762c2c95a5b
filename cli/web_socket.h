// SPDX-License-Identifier: Apache-2.0
// A WebSocket to a URL of the streaming server, plain or over TLS.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/beast/websocket.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cri/streaming/socket.h"

namespace berth::cli {

namespace streaming = ::berth::cri::streaming;

struct WebSocket {
  explicit WebSocket(std::unique_ptr<streaming::Socket> given) : socket(std::move(given)), stream(*socket) {}
  std::unique_ptr<streaming::Socket> socket;
  boost::beast::websocket::stream<streaming::Socket&> stream;
};

// Connects to the URL `text` and speaks v5.channel.k8s.io. The server's certificate is not verified: the URL
// comes from the daemon's own socket, which only root can have made. A refusal is told in the server's words.
absl::StatusOr<std::unique_ptr<WebSocket>> OpenWebSocket(boost::asio::io_context& io,
                                                         const std::string& text);

}  // namespace berth::cli
