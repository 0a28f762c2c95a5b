// SPDX-License-Identifier: Apache-2.0
// What one client shares with the hub's thread: the socket, the calls that wait, the events.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/fd.h"
#include "monitor/client.h"
#include "monitor/packet.h"

namespace berth::monitor {

class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(base::UniqueFd fd, ClientEvents events) : fd_(std::move(fd)), events_(std::move(events)) {}

  struct Answer {
    nlohmann::json fields;
    std::vector<base::UniqueFd> fds;
  };
  // Sends {"type": type, …} and waits: for the answer, the deadline, the connection's end or the
  // cancellation. Thread safe.
  absl::StatusOr<Answer> Call(const char* type, nlohmann::json request, const std::vector<int>& fds,
                              base::Deadline deadline,
                              const std::shared_ptr<base::Cancellation>& cancellation = nullptr);

  // The hub's thread: reads what is there. False when the connection has ended (and `disconnected` was told).
  bool OnReadable();
  // From now on no event is told; waits for one being told just now. Calls that wait get UNAVAILABLE.
  void Mute();
  int fd() const { return fd_.get(); }

 private:
  struct Waiter {
    bool done = false;
    bool ended = false;
    Packet packet;
    nlohmann::json fields;
  };
  absl::Status Transmit(const std::string& text, const std::vector<int>& fds, base::Deadline deadline);
  void Deliver(Packet packet);
  void Tell(const nlohmann::json& event);
  void EndAll();

  const base::UniqueFd fd_;
  std::mutex mutex_;  // waiters_, next_seq_, ended_
  std::condition_variable answered_;
  std::map<std::uint64_t, Waiter*> waiters_;
  std::uint64_t next_seq_ = 1;
  bool ended_ = false;
  std::recursive_mutex telling_;  // held while an event is told; recursive: a callback may drop its client
  bool muted_ = false;
  const ClientEvents events_;
};

}  // namespace berth::monitor
