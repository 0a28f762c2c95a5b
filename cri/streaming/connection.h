// SPDX-License-Identifier: Apache-2.0
// A connection from accept to upgrade: TLS, the request's head, the answer. On the streaming thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cri/streaming/protocols.h"

namespace boost::asio::ssl {
class context;
}

namespace berth::cri::streaming {

class Wire;

struct Policy {
  // Takes the token; an error answers the request. RESOURCE_EXHAUSTED: 429.
  std::function<absl::StatusOr<Ticket>(const Target&)> admit;
  // The client has what it asked for; `early` are bytes that came with the request.
  std::function<void(Ticket, const Upgrade&, std::shared_ptr<Wire>, std::string early)> upgraded;
  // The admitted ticket comes to nothing.
  std::function<void(const Ticket&)> dropped;
};

// Serves a client until it is upgraded, refused or gone. `tls` may be null; `policy` outlives it; `place` is
// held until the connection is closed, whatever becomes of it.
void Welcome(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> tls,
             const Policy& policy, std::shared_ptr<void> place);

}  // namespace berth::cri::streaming
