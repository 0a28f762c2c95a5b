// SPDX-License-Identifier: Apache-2.0
#include "daemon/server.h"

#include <grpc/support/log.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/services.h"
#include "daemon/kept_socket.h"

namespace berth::daemon {
namespace {

constexpr auto kGrace = std::chrono::seconds(2);

// Removes what a dead daemon left at `path`.
absl::Status ClearSocket(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) {
    return errno == ENOENT ? absl::OkStatus() : base::SyscallError(errno, absl::StrCat("lstat '", path, "'"));
  }
  if (!S_ISSOCK(facts.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", path, "' is there and is no socket; remove it, or set grpc.socket"));
  }
  const base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return base::SyscallError(errno, "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int result = ::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  // EAGAIN: somebody listens and is busy.
  if (result == 0 || errno == EAGAIN) {
    return absl::FailedPreconditionError(absl::StrCat("another process serves '", path, "'"));
  }
  if (errno != ECONNREFUSED) return base::SyscallError(errno, absl::StrCat("connect '", path, "'"));
  BERTH_FAULT_POINT("daemon.socket_clear");
  if (::unlink(path.c_str()) != 0) return base::SyscallError(errno, absl::StrCat("unlink '", path, "'"));
  return absl::OkStatus();
}

void GrpcLog(gpr_log_func_args* args) {
  const base::LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR  ? base::LogLevel::kWarning
                               : args->severity == GPR_LOG_SEVERITY_INFO ? base::LogLevel::kInfo
                                                                         : base::LogLevel::kDebug;
  base::Log(level, "grpc", {{"message", args->message}});
}

}  // namespace

void RedirectGrpcLog() { gpr_set_log_function(GrpcLog); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const std::string& socket,
                                                      std::vector<std::unique_ptr<grpc::Service>> services,
                                                      base::UniqueFd kept) {
  BERTH_FAULT_POINT("daemon.socket_dir");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(socket.substr(0, socket.rfind('/')), 0755)));
  if (!kept) BERTH_RETURN_IF_ERROR(ClearSocket(socket));

  std::unique_ptr<Server> server(new Server);
  server->socket_ = socket;
  server->services_ = std::move(services);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(cri::kMaxMessageBytes);
  builder.SetMaxSendMessageSize(cri::kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients may keep a connection alive as often as every ten seconds without being sent away.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  for (const auto& service : server->services_) builder.RegisterService(service.get());
  server->connections_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return absl::UnavailableError("gRPC does not start");
  server->kept_ = static_cast<bool>(kept);
  BERTH_FAULT_POINT("daemon.listen");
  BERTH_ASSIGN_OR_RETURN(server->acceptor_,
                         kept ? Acceptor::Adopt(std::move(kept)) : Acceptor::Listen(socket));
  BERTH_FAULT_POINT("daemon.listening");
  if (!server->kept_) server->kept_ = KeepSocket(server->acceptor_->listener());
  server->acceptor_->Start([connections = server->connections_.get()](base::UniqueFd fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd.Release();
    connections->HandleNewConnection(&connection);
  });
  return server;
}

Server::Server() = default;

Server::~Server() { Stop(); }

void Server::Stop() {
  if (server_ == nullptr) return;
  const bool listened = acceptor_ != nullptr;
  acceptor_.reset();
  server_->Shutdown(std::chrono::system_clock::now() + kGrace);
  server_->Wait();
  server_.reset();
  connections_.reset();
  if (!listened || kept_) return;
  BERTH_FAULT_POINT("daemon.socket_remove");
  ::unlink(socket_.c_str());
}

}  // namespace berth::daemon
