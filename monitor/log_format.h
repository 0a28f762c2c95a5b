// SPDX-License-Identifier: Apache-2.0
// Bytes of a container's stream → records of the CRI log: "<RFC3339, ns, UTC> <stream> <P|F> <content>\n".
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth::monitor {

// Longest content of one record; what is longer is cut into pieces tagged P, the last one F.
inline constexpr std::size_t kMaxLogContent = 16 * 1024;

// "2026-11-22T14:40:37.301899123Z": always nine digits, as kubelet parses it.
std::string LogTimestamp(std::int64_t realtime_ns);

class LogSplitter {
 public:
  explicit LogSplitter(std::string stream) : stream_(std::move(stream)) {}
  // Appends to `out` the records that `data` completes; the rest waits for more.
  void Feed(std::string_view data, std::int64_t realtime_ns, std::string& out);
  // At the stream's end: the line without a newline becomes an F record of its own.
  void Finish(std::int64_t realtime_ns, std::string& out);

 private:
  void Emit(char tag, std::string_view content, std::string& out);

  const std::string stream_;
  std::string pending_;
  std::string stamp_;
};

}  // namespace berth::monitor
