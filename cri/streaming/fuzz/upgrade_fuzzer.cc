// SPDX-License-Identifier: Apache-2.0
// The head of a request. What is agreed on was offered, and its URL is one that we would have made.
#include <cstdint>
#include <cstdlib>

#include "cri/streaming/upgrade.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::cri::streaming;
  HttpRequestParser parser;
  LimitParser(&parser);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(data, size), error);
  if (error || !parser.is_header_done()) return 0;
  const HttpRequest& request = parser.get();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Purpose purpose : {Purpose::kExec, Purpose::kAttach, Purpose::kPortForward}) {
    const auto upgrade = Negotiate(request, purpose);
    if (upgrade.ok() && text.find(upgrade->protocol) == std::string_view::npos) std::abort();
  }
  const auto target = ParseTarget({request.target().data(), request.target().size()});
  if (target && request.target().find(PathOf(target->purpose, target->token)) != 0) std::abort();
  return 0;
}
