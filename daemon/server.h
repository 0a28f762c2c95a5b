// SPDX-License-Identifier: Apache-2.0
// The gRPC server on its unix socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "daemon/acceptor.h"

namespace grpc {
class Server;
class Service;
namespace experimental {
class ExternalConnectionAcceptor;
}  // namespace experimental
}  // namespace grpc

namespace berth::daemon {

class Server {
 public:
  // Listens at `socket` (mode 0600: root only). A socket that a dead daemon left is replaced; one that
  // answers is FAILED_PRECONDITION, and a file of another kind is left alone. With `kept` (kept_socket.h),
  // which listens there already, nothing is replaced.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& socket,
                                                       std::vector<std::unique_ptr<grpc::Service>> services,
                                                       base::UniqueFd kept = base::UniqueFd());
  ~Server();

  // Takes no more calls, gives those under way two seconds, then cancels them; returns when the last has
  // ended. The socket is removed, unless a service manager keeps it for the next berthd.
  void Stop();

 private:
  Server();
  std::string socket_;
  bool kept_ = false;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;  // gRPC's end of the acceptor
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Acceptor> acceptor_;
};

// Lets gRPC speak through our log.
void RedirectGrpcLog();

}  // namespace berth::daemon
