// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/server.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/streaming/command_session.h"
#include "cri/streaming/connection.h"
#include "cri/streaming/forward_session.h"

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Calls of monitors under way at the same time; further ones wait.
constexpr int kMaxThreads = 256;
// Connections beyond the sessions: not upgraded yet, refused, or saying goodbye. Who is on this host can open
// them without a token; they must not cost berthd its descriptors.
constexpr int kMaxOtherConnections = 512;

class ServerImpl final : public Server {
 public:
  ServerImpl(const Options& options, runtime::Runtime& runtime)
      : options_(options),
        runtime_(runtime),
        executor_(kMaxThreads, "berth-streams"),
        acceptor_(io_),
        again_(io_) {
    policy_.admit = [this](const Target& target) { return Admit(target); };
    policy_.upgraded = [this](Ticket ticket, const Upgrade& upgrade, std::shared_ptr<Wire> wire,
                              std::string early) {
      Serve(std::move(ticket), upgrade, std::move(wire), std::move(early));
    };
    policy_.dropped = [this](const Ticket& ticket) { Release(ticket.pod_id); };
  }
  ~ServerImpl() override { Stop(); }

  absl::Status Listen() {
    const auto colon = options_.address.rfind(':');
    std::string host = options_.address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    int port = 0;
    error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error || colon == std::string::npos || !absl::SimpleAtoi(options_.address.substr(colon + 1), &port))
      return absl::InvalidArgumentError(absl::StrCat("'", options_.address, "' is no address and port"));
    const tcp::endpoint endpoint(address, static_cast<unsigned short>(port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::FailedPreconditionError(
          absl::StrCat("listen at '", options_.address, "': ", error.message(),
                       "; streaming.address must be an address of this host and a free port"));
    }
    // Who asks is on this host: for a wildcard address any of its own will do.
    std::string shown =
        address.is_unspecified() ? (address.is_v6() ? "::1" : "127.0.0.1") : address.to_string();
    if (options_.tls.enabled) {
      BERTH_ASSIGN_OR_RETURN(tls_, TlsContext::Make(options_.tls, shown));
    } else if (!address.is_loopback()) {
      base::LogWarning("exec, attach and port-forward are served without TLS beyond loopback",
                       {{"streaming.address", options_.address}});
    }
    if (address.is_v6()) shown = absl::StrCat("[", shown, "]");
    url_ = absl::StrCat(options_.tls.enabled ? "https" : "http", "://", shown, ":",
                        acceptor_.local_endpoint().port());
    AcceptNext();
    thread_ = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "berth-streaming");
      io_.run();
    });
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Url(Ticket ticket) override {
    BERTH_RETURN_IF_ERROR(Check(&ticket));
    const Purpose purpose = ticket.purpose;
    BERTH_ASSIGN_OR_RETURN(const std::string token, tokens_.Issue(std::move(ticket)));
    return absl::StrCat(url_, PathOf(purpose, token));
  }
  std::string base_url() const override { return url_; }

  void Stop() override {
    if (!thread_.joinable()) return;
    io_.stop();
    thread_.join();
    executor_.Stop();
  }

 private:
  // Completes the ids and looks whether it can be served at all.
  absl::Status Check(Ticket* ticket) const {
    if (ticket->purpose == Purpose::kPortForward) {
      BERTH_ASSIGN_OR_RETURN(const auto pod, runtime_.FindPod(ticket->pod_id));
      if (pod->state != runtime::PodState::kReady)
        return absl::FailedPreconditionError(absl::StrCat("pod '", pod->id, "' is not ready"));
      ticket->pod_id = pod->id;
      return absl::OkStatus();
    }
    if (!ticket->in && !ticket->out && !ticket->err)
      return absl::InvalidArgumentError("one of stdin, stdout and stderr must be set");
    if (ticket->tty && ticket->err)
      return absl::InvalidArgumentError("tty and stderr cannot both be set: a terminal has one output");
    BERTH_ASSIGN_OR_RETURN(const auto container, runtime_.FindContainer(ticket->container_id));
    if (container->state != runtime::ContainerState::kRunning)
      return absl::FailedPreconditionError(absl::StrCat("container '", container->id, "' is not running"));
    if (ticket->purpose == Purpose::kExec && ticket->command.empty())
      return absl::InvalidArgumentError("cmd is empty");
    if (ticket->purpose == Purpose::kAttach && ticket->tty != container->config.tty) {
      return absl::InvalidArgumentError(absl::StrCat("container '", container->id, "' has ",
                                                     container->config.tty ? "a" : "no",
                                                     " terminal: attach with tty accordingly"));
    }
    ticket->container_id = container->id;
    ticket->pod_id = container->pod_id;
    return absl::OkStatus();
  }

  void AcceptNext() {
    if (*connections_ >= options_.max_sessions + kMaxOtherConnections) return AcceptLater();
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {
        // No descriptor is left, most likely: again when some may have been closed.
        base::LogWarning("a streaming client could not be accepted", {{"error", error.message()}});
        return AcceptLater();
      }
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      socket.set_option(asio::socket_base::keep_alive(true), ignored);
      ++*connections_;
      std::shared_ptr<void> place(nullptr, [connections = connections_](void*) { --*connections; });
      Welcome(std::move(socket), tls_ == nullptr ? nullptr : tls_->Current(), policy_, std::move(place));
      AcceptNext();
    });
  }

  void AcceptLater() {
    again_.expires_after(std::chrono::milliseconds(100));
    again_.async_wait([this](error_code cancelled) {
      if (!cancelled) AcceptNext();
    });
  }

  // Who finds no room may come again with the same URL.
  absl::StatusOr<Ticket> Admit(const Target& target) {
    BERTH_ASSIGN_OR_RETURN(Ticket ticket,
                           tokens_.Take(target.token, [&](const Ticket& t) { return HasRoom(target, t); }));
    ++sessions_[ticket.pod_id];
    ++total_;
    return ticket;
  }

  absl::Status HasRoom(const Target& target, const Ticket& ticket) const {
    if (ticket.purpose != target.purpose) return absl::NotFoundError("this URL is for something else");
    const auto at = sessions_.find(ticket.pod_id);
    if (at != sessions_.end() && at->second >= options_.max_sessions_per_pod) {
      return absl::ResourceExhaustedError(absl::StrCat("too many streaming sessions: ", at->second,
                                                       " of this pod (streaming.max_sessions_per_pod)"));
    }
    if (total_ >= options_.max_sessions) {
      return absl::ResourceExhaustedError(
          absl::StrCat("too many streaming sessions: ", total_, " in all (streaming.max_sessions)"));
    }
    return absl::OkStatus();
  }

  void Release(const std::string& pod_id) {
    --total_;
    if (const auto at = sessions_.find(pod_id); --at->second == 0) sessions_.erase(at);
  }

  void Serve(Ticket ticket, const Upgrade& upgrade, std::shared_ptr<Wire> wire, std::string early) {
    ClientOptions client{upgrade.protocol, std::move(early), options_.idle_timeout_ns};
    if (ticket.purpose == Purpose::kPortForward)
      return Forward(ticket, upgrade, std::move(wire), std::move(client));
    CommandSession::Parts parts;
    parts.thread = io_.get_executor();
    parts.executor = &executor_;
    parts.client = upgrade.transport == Transport::kSpdy
                       ? MakeSpdyClient(std::move(wire), ticket, std::move(client))
                       : MakeWsClient(std::move(wire), ticket, std::move(client));
    parts.ticket = ticket;
    parts.open = [this, ticket]() -> CommandSession::Opened {
      const runtime::StdioRequest request{ticket.command, ticket.tty, ticket.in, ticket.out, ticket.err};
      constexpr std::int64_t kOpenNs = 60 * base::kSecondNs;
      const runtime::Caller caller{nullptr, base::Deadline::After(kOpenNs)};
      return ticket.purpose == Purpose::kExec ? runtime_.Exec(ticket.container_id, request, caller)
                                              : runtime_.Attach(ticket.container_id, request, caller);
    };
    std::make_shared<CommandSession>(std::move(parts))->Start([this, pod = ticket.pod_id] { Release(pod); });
  }

  void Forward(const Ticket& ticket, const Upgrade& upgrade, std::shared_ptr<Wire> wire,
               ClientOptions client) {
    ForwardParts parts;
    parts.thread = io_.get_executor();
    parts.executor = &executor_;
    parts.wire = std::move(wire);
    parts.ticket = ticket;
    parts.make_socket = [this, pod = ticket.pod_id](int family) { return runtime_.PodSocket(pod, family); };
    parts.pod_lives = [this, id = ticket.pod_id] {
      const auto pod = runtime_.FindPod(id);
      return pod.ok() && (*pod)->state == runtime::PodState::kReady;
    };
    parts.early = std::move(client.early);
    parts.idle_ns = client.idle_ns;
    auto done = [this, pod = ticket.pod_id] { Release(pod); };
    if (absl::EndsWith(upgrade.protocol, "portforward.k8s.io")) {
      ForwardOverSpdy(std::move(parts), std::move(done));
    } else {
      ForwardOverChannels(std::move(parts), upgrade.protocol, std::move(done));
    }
  }

  const Options options_;
  runtime::Runtime& runtime_;
  std::string url_;
  Tokens tokens_;
  std::unique_ptr<TlsContext> tls_;
  Policy policy_;
  // Outlives the server with the last connection.
  const std::shared_ptr<std::atomic<int>> connections_ = std::make_shared<std::atomic<int>>(0);
  // The streaming thread's:
  int total_ = 0;
  std::map<std::string, int> sessions_;  // by pod

  base::Executor executor_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer again_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, runtime::Runtime& runtime) {
  auto server = std::make_unique<ServerImpl>(options, runtime);
  BERTH_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace berth::cri::streaming
