// SPDX-License-Identifier: Apache-2.0
#include "cli/web_socket.h"

#include <boost/asio/connect.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth::cli {
namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

constexpr char kProtocol[] = "v5.channel.k8s.io";

struct Url {
  bool tls = false;
  std::string host, target;
  int port = 0;
};

absl::StatusOr<Url> ParseUrl(const std::string& text) {
  Url url;
  absl::string_view rest = text;
  url.tls = absl::ConsumePrefix(&rest, "https://");
  const bool http = url.tls || absl::ConsumePrefix(&rest, "http://");
  const auto slash = rest.find('/');
  const auto colon = rest.substr(0, slash).rfind(':');
  if (!http || slash == absl::string_view::npos || colon == absl::string_view::npos ||
      !absl::SimpleAtoi(rest.substr(colon + 1, slash - colon - 1), &url.port)) {
    return absl::InternalError(
        absl::StrCat("the daemon answered with '", text, "', which is no URL of its own"));
  }
  url.host = std::string(rest.substr(0, colon));
  if (url.host.size() > 2 && url.host.front() == '[') url.host = url.host.substr(1, url.host.size() - 2);
  url.target = std::string(rest.substr(slash));
  return url;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WebSocket>> OpenWebSocket(asio::io_context& io, const std::string& text) {
  auto url = ParseUrl(text);
  if (!url.ok()) return url.status();
  error_code error;
  const auto failed = [&](const char* what) {
    return absl::UnavailableError(
        absl::StrCat(what, " '", url->host, ":", url->port, "': ", error.message()));
  };
  asio::ip::tcp::socket tcp(io);
  const auto address = asio::ip::make_address(url->host, error);
  if (error) return failed("the streaming server's address");
  tcp.connect({address, static_cast<unsigned short>(url->port)}, error);
  if (error) return failed("connect to the streaming server at");
  tcp.set_option(asio::ip::tcp::no_delay(true), error);
  std::shared_ptr<asio::ssl::context> tls;
  if (url->tls) {
    tls = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
    tls->set_verify_mode(asio::ssl::verify_none);
  }
  auto made = std::make_unique<WebSocket>(std::make_unique<streaming::Socket>(std::move(tcp), tls));
  if (url->tls) {
    made->socket->tls()->handshake(asio::ssl::stream_base::client, error);
    if (error) return failed("TLS with the streaming server at");
  }
  auto& stream = made->stream;
  stream.binary(true);
  stream.auto_fragment(false);
  stream.set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
    request.set(boost::beast::http::field::sec_websocket_protocol, kProtocol);
  }));
  websocket::response_type response;
  stream.async_handshake(response, url->host, url->target, [&](error_code result) { error = result; });
  io.run();
  io.restart();
  if (error == websocket::error::upgrade_declined) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the streaming server refused: ", response.result_int(), " ",
        std::string(absl::StripAsciiWhitespace({response.body().data(), response.body().size()}))));
  }
  if (error) return failed("the WebSocket to");
  // Pings keep a session alive that is idle for long.
  stream.set_option(
      websocket::stream_base::timeout{websocket::stream_base::none(), std::chrono::minutes(1), true});
  return made;
}

}  // namespace berth::cli
