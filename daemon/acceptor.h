// SPDX-License-Identifier: Apache-2.0
// Listens at a unix socket and hands over each connection. gRPC 1.51 can listen by itself, but gives a
// listener up for good at the first accept that fails for want of descriptors or memory ("Failed accept4: Too
// many open files"; measured): whoever connects afterwards hangs until the program is started anew. This one
// tries again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace berth::daemon {

// Not thread safe; `take` is called on the acceptor's own thread.
class Acceptor {
 public:
  using Take = std::function<void(base::UniqueFd connection)>;

  // Listens at `path` (mode 0600: root only). What lies there was removed by the caller.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const std::string& path);
  // At a socket that listens already.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Adopt(base::UniqueFd listener);
  ~Acceptor();  // takes no further connection; returns when the last `take` has
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  int listener() const { return listener_.get(); }
  // Once. Connections that came since the socket listens were kept waiting.
  void Start(Take take);

 private:
  Acceptor() = default;
  void Loop();
  // False: asked to stop.
  bool WaitFor(int fd, int timeout_ms) const;

  base::UniqueFd listener_, stop_;
  Take take_;
  std::thread thread_;
};

}  // namespace berth::daemon
