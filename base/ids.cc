// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

namespace berth::base {

std::string NewId() {
  unsigned char bytes[32];
  // Up to 256 bytes come whole or not at all once the pool is ready (getrandom(2)).
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) std::abort();
  constexpr char kDigits[] = "0123456789abcdef";
  std::string id;
  id.reserve(64);
  for (const unsigned char byte : bytes) {
    id.push_back(kDigits[byte >> 4]);
    id.push_back(kDigits[byte & 15]);
  }
  return id;
}

bool IsHexId(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

std::string ShortId(std::string_view id) { return std::string(id.substr(0, 12)); }

}  // namespace berth::base
