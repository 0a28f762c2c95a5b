// SPDX-License-Identifier: Apache-2.0
// What a URL of the streaming server stands for. A token is 24 bytes of getrandom(2), counts once and for a
// minute. Thread safe.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace berth::cri::streaming {

enum class Purpose { kExec, kAttach, kPortForward };

// A request of Exec, Attach or PortForward, checked when its URL was asked for.
struct Ticket {
  Purpose purpose = Purpose::kExec;
  std::string pod_id;
  std::string container_id;  // exec, attach
  std::vector<std::string> command;
  bool tty = false;
  bool in = false;
  bool out = false;
  bool err = false;
  std::vector<std::uint16_t> ports;  // port-forward; SPDY clients name theirs later
};

// Each takes two channels of 0 to 253; 255 closes one.
inline constexpr std::size_t kMaxForwardPorts = 127;

inline constexpr std::int64_t kTokenLifeNs = 60 * base::kSecondNs;
inline constexpr std::size_t kMaxTokens = 1000;

class Tokens {
 public:
  explicit Tokens(std::function<std::int64_t()> now = base::MonotonicNs) : now_(std::move(now)) {}
  // RESOURCE_EXHAUSTED when too many wait to be used.
  absl::StatusOr<std::string> Issue(Ticket ticket);
  // NOT_FOUND when it never was, was taken before, or is too old. What `admit` refuses is not taken; it is
  // called under a lock.
  absl::StatusOr<Ticket> Take(const std::string& token,
                              const std::function<absl::Status(const Ticket&)>& admit);

 private:
  struct Waiting {
    Ticket ticket;
    std::int64_t until_ns;
    std::list<std::string>::iterator place;
  };
  void DropOld();

  const std::function<std::int64_t()> now_;
  std::mutex mutex_;
  std::unordered_map<std::string, Waiting> waiting_;
  std::list<std::string> oldest_first_;
};

}  // namespace berth::cri::streaming
