// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/connection.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>

#include "cri/streaming/socket.h"
#include "cri/streaming/upgrade.h"
#include "cri/streaming/ws_wire.h"

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// For the handshake, the head and the answer together.
constexpr auto kUpgradeBy = std::chrono::seconds(30);

unsigned HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    default:
      return 500;
  }
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Socket> socket, const Policy& policy);
  void Start();

 private:
  void ReadRequest();
  void OnRequest();
  void Answer(HttpResponse response, std::function<void(bool sent)> then);
  void Refuse(HttpResponse response);
  void Accept(Ticket ticket, const Upgrade& upgrade);
  void Close();

  const std::shared_ptr<Socket> socket_;
  const Policy& policy_;
  asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  HttpRequestParser parser_;
  HttpResponse response_;
};

Connection::Connection(std::shared_ptr<Socket> socket, const Policy& policy)
    : socket_(std::move(socket)), policy_(policy), timer_(socket_->get_executor(), kUpgradeBy) {
  LimitParser(&parser_);
}

void Connection::Start() {
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->Close();
  });
  if (socket_->tls() == nullptr) return ReadRequest();
  socket_->tls()->async_handshake(
      asio::ssl::stream_base::server,
      [self = shared_from_this()](error_code error) { error ? self->Close() : self->ReadRequest(); });
}

void Connection::Close() {
  timer_.cancel();
  error_code ignored;
  socket_->tcp().close(ignored);
}

void Connection::ReadRequest() {
  http::async_read_header(
      *socket_, buffer_, parser_, [self = shared_from_this()](error_code error, std::size_t) {
        if (!error) return self->OnRequest();
        if (error == http::error::header_limit)
          return self->Refuse(Refusal(431, "the request's head is too large"));
        if (error == http::error::end_of_stream || error.category() == asio::error::get_system_category())
          return self->Close();
        self->Refuse(Refusal(400, "malformed request: " + error.message()));
      });
}

void Connection::OnRequest() {
  const HttpRequest& request = parser_.get();
  const auto target = ParseTarget(std::string_view(request.target().data(), request.target().size()));
  if (!target) return Refuse(Refusal(404, "no such URL"));
  if (request.method() != http::verb::get && request.method() != http::verb::post) {
    HttpResponse refusal = Refusal(405, "GET and POST are taken");
    refusal.set(http::field::allow, "GET, POST");
    return Refuse(std::move(refusal));
  }
  // Before the token: a client that asks for what is not spoken may come again with the same URL.
  const auto upgrade = Negotiate(request, target->purpose);
  if (!upgrade.ok()) {
    return Refuse(absl::IsPermissionDenied(upgrade.status())
                      ? ProtocolRefusal(target->purpose, std::string(upgrade.status().message()))
                      : Refusal(HttpStatusOf(upgrade.status()), std::string(upgrade.status().message())));
  }
  auto ticket = policy_.admit(*target);
  if (!ticket.ok()) {
    HttpResponse refusal = Refusal(HttpStatusOf(ticket.status()), std::string(ticket.status().message()));
    if (absl::IsResourceExhausted(ticket.status())) refusal.set(http::field::retry_after, "1");
    return Refuse(std::move(refusal));
  }
  Accept(std::move(*ticket), *upgrade);
}

void Connection::Answer(HttpResponse response, std::function<void(bool)> then) {
  response_ = std::move(response);
  http::async_write(
      *socket_, response_,
      [self = shared_from_this(), then = std::move(then)](error_code error, std::size_t) { then(!error); });
}

void Connection::Refuse(HttpResponse response) {
  Answer(std::move(response), [self = shared_from_this()](bool) {
    // What the client still sends is dropped for a moment, or closing would reset the connection before it
    // has read the answer.
    MakeByteWire(self->socket_)->Finish();
    self->timer_.cancel();
  });
}

void Connection::Accept(Ticket ticket, const Upgrade& upgrade) {
  std::string early(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  buffer_.clear();
  if (upgrade.transport == Transport::kSpdy) {
    HttpResponse response = SpdyAcceptance(upgrade.protocol);
    return Answer(std::move(response), [self = shared_from_this(), ticket = std::move(ticket), upgrade,
                                        early = std::move(early)](bool sent) {
      self->timer_.cancel();
      if (!sent) return self->policy_.dropped(ticket);
      self->policy_.upgraded(ticket, upgrade, MakeByteWire(self->socket_), early);
    });
  }
  if (!early.empty()) {  // RFC 6455, 4.1: nothing before our answer
    policy_.dropped(ticket);
    return Refuse(Refusal(400, "bytes after the request of a WebSocket"));
  }
  MakeMessageWire(
      socket_, parser_.get(), upgrade.protocol, IsBase64(upgrade.protocol),
      [self = shared_from_this(), ticket = std::move(ticket), upgrade](std::shared_ptr<Wire> wire) {
        self->timer_.cancel();
        if (wire == nullptr) return self->policy_.dropped(ticket);
        self->policy_.upgraded(ticket, upgrade, std::move(wire), "");
      });
}

}  // namespace

void Welcome(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls, const Policy& policy,
             std::shared_ptr<void> place) {
  std::make_shared<Connection>(std::make_shared<Socket>(std::move(socket), std::move(tls), std::move(place)),
                               policy)
      ->Start();
}

}  // namespace berth::cri::streaming
