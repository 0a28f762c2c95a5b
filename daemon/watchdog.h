// SPDX-License-Identifier: Apache-2.0
// Tells systemd that berthd is alive (sd_notify WATCHDOG=1), but only when it is: each time a call of its own
// must come back through the socket that kubelet uses.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"

namespace berth::daemon {

// The Version call of the operator service over `socket`: gRPC's threads, the socket and the service are
// alive. It waits for no disk, no plugin and no monitor: what hangs there a restart would not mend.
absl::Status CallOwnSocket(const std::string& socket, std::int64_t timeout_ns);

// A thread that asks `alive` three times per WATCHDOG_USEC and notifies when it is OK; nothing where systemd
// asked for no watchdog. What fails is told in the log: systemd's SIGABRT follows when it goes on.
class Watchdog {
 public:
  using Alive = std::function<absl::Status(std::int64_t timeout_ns)>;
  explicit Watchdog(Alive alive);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Loop();

  const Alive alive_;
  std::int64_t gap_ns_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace berth::daemon
