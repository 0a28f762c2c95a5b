// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/upgrade.h"

#include <algorithm>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace berth::cri::streaming {
namespace {

namespace http = boost::beast::http;

constexpr char kSpdy[] = "SPDY/3.1";
constexpr char kSpdyOffer[] = "X-Stream-Protocol-Version";
constexpr char kSpdyAccepted[] = "X-Accepted-Stream-Protocol-Versions";

const std::vector<std::string>& Spoken(Transport transport, Purpose purpose) {
  static const auto& spdy_command = *new std::vector<std::string>{"v4.channel.k8s.io", "v3.channel.k8s.io",
                                                                  "v2.channel.k8s.io", "channel.k8s.io"};
  static const auto& spdy_forward = *new std::vector<std::string>{"portforward.k8s.io"};
  static const auto& ws_command =
      *new std::vector<std::string>{"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
                                    "channel.k8s.io", "base64.channel.k8s.io"};
  // v5 for port-forward is berth's own: the legacy form with half-close.
  static const auto& ws_forward = *new std::vector<std::string>{
      "SPDY/3.1+portforward.k8s.io", "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"};
  const bool forward = purpose == Purpose::kPortForward;
  if (transport == Transport::kSpdy) return forward ? spdy_forward : spdy_command;
  return forward ? ws_forward : ws_command;
}

// Of a header that may be repeated and may hold lists.
std::vector<std::string> Values(const HttpRequest& request, boost::beast::string_view name) {
  std::vector<std::string> values;
  const auto range = request.equal_range(name);
  for (auto at = range.first; at != range.second; ++at) {
    const absl::string_view list(at->value().data(), at->value().size());
    for (const absl::string_view value : absl::StrSplit(list, ',')) {
      const absl::string_view trimmed = absl::StripAsciiWhitespace(value);
      if (!trimmed.empty()) values.emplace_back(trimmed.data(), trimmed.size());
    }
  }
  return values;
}

bool Has(const std::vector<std::string>& values, absl::string_view wanted) {
  return std::any_of(values.begin(), values.end(),
                     [&](const std::string& value) { return absl::EqualsIgnoreCase(value, wanted); });
}

std::optional<std::string> FirstSpoken(const std::vector<std::string>& offered,
                                       const std::vector<std::string>& spoken) {
  for (const std::string& offer : offered) {
    if (std::find(spoken.begin(), spoken.end(), offer) != spoken.end()) return offer;
  }
  return std::nullopt;
}

std::string NothingSpoken(const std::vector<std::string>& offered, const std::vector<std::string>& spoken) {
  return absl::StrCat("none of the protocols offered is spoken here (offered: ", absl::StrJoin(offered, ", "),
                      "; spoken: ", absl::StrJoin(spoken, ", "), ")");
}

}  // namespace

void LimitParser(HttpRequestParser* parser) {
  parser->header_limit(kMaxHttpHeadBytes);
  parser->body_limit(std::uint64_t{0});
}

std::optional<Target> ParseTarget(std::string_view target) {
  constexpr std::size_t kMaxTokenBytes = 64;
  target = target.substr(0, target.find('?'));
  for (const Purpose purpose : {Purpose::kExec, Purpose::kAttach, Purpose::kPortForward}) {
    const std::string prefix = PathOf(purpose, "");
    if (target.substr(0, prefix.size()) != prefix) continue;
    std::string token(target.substr(prefix.size()));
    if (token.empty() || token.size() > kMaxTokenBytes || token.find('/') != std::string::npos)
      return std::nullopt;
    return Target{purpose, std::move(token)};
  }
  return std::nullopt;
}

std::string PathOf(Purpose purpose, const std::string& token) {
  const char* verb = purpose == Purpose::kExec     ? "exec"
                     : purpose == Purpose::kAttach ? "attach"
                                                   : "portforward";
  return absl::StrCat("/", verb, "/", token);
}

absl::StatusOr<Upgrade> Negotiate(const HttpRequest& request, Purpose purpose) {
  const auto upgrades = Values(request, "Upgrade");
  if (!Has(Values(request, "Connection"), "upgrade") || upgrades.empty()) {
    return absl::InvalidArgumentError(
        "this URL is for an upgrade to SPDY/3.1 or to a WebSocket, and the request asks for neither");
  }
  if (Has(upgrades, "websocket")) {
    const auto offered = Values(request, "Sec-WebSocket-Protocol");
    const auto& spoken = Spoken(Transport::kWebSocket, purpose);
    if (offered.empty()) return Upgrade{Transport::kWebSocket, ""};
    if (const auto protocol = FirstSpoken(offered, spoken)) return Upgrade{Transport::kWebSocket, *protocol};
    return absl::PermissionDeniedError(NothingSpoken(offered, spoken));
  }
  if (!Has(upgrades, kSpdy)) {
    return absl::InvalidArgumentError(absl::StrCat("no upgrade to '", absl::StrJoin(upgrades, ", "),
                                                   "': SPDY/3.1 and WebSockets are spoken here"));
  }
  const auto offered = Values(request, kSpdyOffer);
  if (offered.empty())
    return absl::InvalidArgumentError(absl::StrCat("the header ", kSpdyOffer, " is missing"));
  const auto& spoken = Spoken(Transport::kSpdy, purpose);
  if (const auto protocol = FirstSpoken(offered, spoken)) return Upgrade{Transport::kSpdy, *protocol};
  return absl::PermissionDeniedError(NothingSpoken(offered, spoken));
}

int VersionOf(std::string_view protocol) {
  int version = 1;
  if (protocol.size() > 2 && protocol[0] == 'v' && protocol[1] >= '2' && protocol[1] <= '5')
    version = protocol[1] - '0';
  return version;
}

bool IsBase64(std::string_view protocol) { return protocol.find("base64.") != std::string_view::npos; }

HttpResponse Refusal(unsigned http_status, std::string_view text) {
  HttpResponse response;
  response.version(11);
  response.result(http_status);
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  response.set("X-Content-Type-Options", "nosniff");
  response.keep_alive(false);
  response.body() = absl::StrCat(absl::string_view(text.data(), text.size()), "\n");
  response.prepare_payload();
  return response;
}

HttpResponse ProtocolRefusal(Purpose purpose, std::string_view text) {
  HttpResponse response = Refusal(403, text);
  for (const auto& protocol : Spoken(Transport::kSpdy, purpose)) response.insert(kSpdyAccepted, protocol);
  return response;
}

HttpResponse SpdyAcceptance(const std::string& protocol) {
  HttpResponse response;
  response.version(11);
  response.result(http::status::switching_protocols);
  response.set(http::field::connection, "Upgrade");
  response.set(http::field::upgrade, kSpdy);
  response.set(kSpdyOffer, protocol);
  return response;
}

}  // namespace berth::cri::streaming
