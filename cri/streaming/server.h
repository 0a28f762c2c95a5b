// SPDX-License-Identifier: Apache-2.0
// The streaming server: gives out URLs for Exec, Attach and PortForward and serves them. One thread does all
// I/O; what blocks (the monitors, namespaces) runs on an executor of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "cri/streaming/tls.h"
#include "cri/streaming/tokens.h"
#include "runtime/runtime.h"

namespace berth::cri::streaming {

struct Options {
  std::string address = "127.0.0.1:0";                        // host (an address) and port; port 0: any
  std::int64_t idle_timeout_ns = 4 * 3600 * base::kSecondNs;  // 0: none
  int max_sessions = 1000;
  int max_sessions_per_pod = 250;
  TlsOptions tls;
};

class Server {
 public:
  // Listens. `runtime` is not owned and outlives the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options, runtime::Runtime& runtime);
  virtual ~Server() = default;

  // For CRI's calls; thread safe. The ticket's ids may be prefixes. INVALID_ARGUMENT, NOT_FOUND,
  // FAILED_PRECONDITION (not running), RESOURCE_EXHAUSTED (too many URLs wait to be used).
  virtual absl::StatusOr<std::string> Url(Ticket ticket) = 0;
  // "http://127.0.0.1:41234"
  virtual std::string base_url() const = 0;
  // Ends all sessions: their execs are killed by the monitors when these lose us. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace berth::cri::streaming
