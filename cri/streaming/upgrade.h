// SPDX-License-Identifier: Apache-2.0
// The HTTP side of a session: what the client asks for, and which of the protocols it offers is spoken. Pure.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cri/streaming/protocols.h"

namespace berth::cri::streaming {

using HttpRequest = boost::beast::http::request<boost::beast::http::empty_body>;
using HttpResponse = boost::beast::http::response<boost::beast::http::string_body>;
using HttpRequestParser = boost::beast::http::request_parser<boost::beast::http::empty_body>;

// Larger heads than any client sends are refused with 431 (Beast's own limit is 8 KiB as well).
inline constexpr std::uint32_t kMaxHttpHeadBytes = 16 * 1024;
void LimitParser(HttpRequestParser* parser);

std::optional<Target> ParseTarget(std::string_view target);
// The protocol of the client's first offer that is spoken for `purpose`. INVALID_ARGUMENT: no upgrade is
// asked for, or nothing is offered (400); PERMISSION_DENIED: nothing offered is spoken (403), and the message
// names what is.
absl::StatusOr<Upgrade> Negotiate(const HttpRequest& request, Purpose purpose);

// The answer to a request that is refused; the connection closes after it.
HttpResponse Refusal(unsigned http_status, std::string_view text);
// 403 with the protocols that are spoken for `purpose`.
HttpResponse ProtocolRefusal(Purpose purpose, std::string_view text);
// 101 for SPDY.
HttpResponse SpdyAcceptance(const std::string& protocol);

}  // namespace berth::cri::streaming
