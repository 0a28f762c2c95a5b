// SPDX-License-Identifier: Apache-2.0
// Port-forward sessions: many connections into one pod over one client's connection. On the streaming thread.
// A session ends when its client leaves or its pod is no longer ready: an open socket would keep the network
// namespace of a stopped pod alive.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cri/streaming/protocols.h"
#include "cri/streaming/tunnel.h"
#include "cri/streaming/wire.h"

namespace berth::cri::streaming {

struct ForwardParts {
  Thread thread;
  base::Executor* executor = nullptr;
  std::shared_ptr<Wire> wire;
  Ticket ticket;
  std::function<absl::StatusOr<base::UniqueFd>(int family)> make_socket;  // blocks
  std::function<bool()> pod_lives;
  std::string early;
  std::int64_t idle_ns = 0;
};

// portforward.k8s.io: pairs of SPDY streams, over TCP or, tunnelled, in a WebSocket's messages. `done`: once,
// when it is over.
void ForwardOverSpdy(ForwardParts parts, std::function<void()> done);
// v4.channel.k8s.io and its like: channels 2i (data) and 2i+1 (error) for the ticket's i-th port.
void ForwardOverChannels(ForwardParts parts, const std::string& protocol, std::function<void()> done);

}  // namespace berth::cri::streaming
