// SPDX-License-Identifier: Apache-2.0
// A client of the daemon's streaming server: exec and attach over a WebSocket (v5.channel.k8s.io), and single
// forwarded connections.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::cli {

struct RemoteStreams {
  // Runs on a thread of its own: hands on what there is to be sent, with `push`, which waits until it is sent
  // and is false when nobody wants more. Returning ends the input. Empty: there is no input.
  std::function<void(const std::function<bool(std::string_view)>& push)> input;
  // Called one at a time; an error ends the session.
  std::function<absl::Status(std::string_view)> out, err;
  bool tty = false;  // raw mode, and the terminal's size goes along
};

// Serves one session to its end. The command's exit code, 0 for an attach whose container ended.
absl::StatusOr<int> RunRemote(const std::string& url, const RemoteStreams& streams);

// Standard input, output and error of this program.
RemoteStreams StandardStreams(bool input, bool tty);

// Carries one TCP connection, `socket` (taken over), to the first port of a port-forward URL, until both
// directions have ended. The port's own error, if it could not be reached.
absl::Status ForwardConnection(const std::string& url, int socket);

}  // namespace berth::cli
