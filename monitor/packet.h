// SPDX-License-Identifier: Apache-2.0
// One packet of the monitor protocol: a JSON text and descriptors that ride along (unix(7), SCM_RIGHTS).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace berth::monitor {

inline constexpr std::size_t kMaxPacketFds = 4;

struct Packet {
  std::string text;
  std::vector<base::UniqueFd> fds;
};

// EAGAIN: nothing there now (non-blocking socket). EPIPE: the other side has closed. EMSGSIZE: too long,
// dropped by the kernel.
base::Result<Packet> ReceivePacket(int fd);
// EAGAIN: its queue is full. MSG_NOSIGNAL; all or nothing, as SOCK_SEQPACKET keeps packets whole.
base::Result<void> SendPacket(int fd, std::string_view text, const std::vector<int>& fds = {});

// A SOCK_SEQPACKET socket bound to and listening at <dir>/<name>, mode 0600, for a `dir` of any length; a
// stale one is replaced.
base::Result<base::UniqueFd> ListenAt(const std::string& dir, const std::string& name);
base::Result<base::UniqueFd> ConnectAt(const std::string& dir, const std::string& name);

}  // namespace berth::monitor
