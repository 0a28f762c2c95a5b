// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange over libcurl. Blocking, any thread; redirects are the caller's to follow (he knows what
// may be sent where). The process must ignore SIGPIPE, as berthd does: OpenSSL writes without MSG_NOSIGNAL.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "image/hosts.h"

namespace berth::image {

struct HttpResponse {
  int status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string redirect;  // absolute, for 3xx with a Location
  std::string Header(const std::string& name) const;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value"; secrets among them are never logged
  std::string form;                  // not empty: POST of this form
  TlsOptions tls;
  std::uint64_t offset = 0;  // > 0: "Range: bytes=offset-"
  // Success replies (200, 206) go here if set; else, and for all other replies, into HttpResponse::body, up
  // to `cap` bytes.
  std::function<absl::Status(const HttpResponse& head, std::string_view data)> sink;
  std::size_t cap = 64 << 10;
  std::int64_t timeout_seconds = 60;  // whole exchange; 0 = none (a minimum rate holds always)
  std::function<bool()> cancelled;    // polled at least once a second
};

// UNAVAILABLE: no connection, broken, too slow. The sink's own error is handed through. CANCELLED. Whatever
// the server answered is a response.
absl::StatusOr<HttpResponse> Exchange(const HttpRequest& request);

// A URL as it may be shown: no user, no query.
std::string ShownUrl(std::string_view url);
// scheme://host:port of a URL, with the default port spelled out; "" if it is none.
std::string OriginOf(std::string_view url);
std::string UrlEncode(std::string_view text);

}  // namespace berth::image
