// SPDX-License-Identifier: Apache-2.0
// Header blocks of SPDY/3.1: names and values, compressed by zlib with the protocol's own dictionary (SPDY
// Protocol draft 3.1, section 2.6.10). One reader and one writer live as long as the connection: the
// compression's memory spans its blocks. Not thread safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::cri::streaming {

// In the order of the block; names in lower case. Several values of a name are joined by '\0'.
using Headers = std::vector<std::pair<std::string, std::string>>;
// The value of `name` (lower case), "" when it is not there.
std::string HeaderValue(const Headers& headers, std::string_view name);

// What a client may make us hold: a block that inflates to more, or has more entries, is an error.
inline constexpr std::size_t kMaxHeaderBytes = 32 * 1024;
inline constexpr std::size_t kMaxHeaderEntries = 64;

// The 1423 bytes that both sides' compression starts with.
const std::string& SpdyDictionary();

// Decompresses. After an error the connection is of no use any more: the compression is out of step.
class HeaderReader {
 public:
  HeaderReader();
  ~HeaderReader();
  absl::StatusOr<Headers> Read(std::string_view block);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class HeaderWriter {
 public:
  HeaderWriter();
  ~HeaderWriter();
  std::string Write(const Headers& headers);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The entries of an inflated block. Pure.
absl::StatusOr<Headers> ParseHeaderBlock(std::string_view block);

}  // namespace berth::cri::streaming
