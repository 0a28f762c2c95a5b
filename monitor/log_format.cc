// SPDX-License-Identifier: Apache-2.0
#include "monitor/log_format.h"

#include <cstdio>
#include <ctime>

#include "base/clock.h"

namespace berth::monitor {

std::string LogTimestamp(std::int64_t realtime_ns) {
  std::int64_t nanos = realtime_ns % base::kSecondNs;
  std::time_t seconds = realtime_ns / base::kSecondNs;
  if (nanos < 0) {
    nanos += base::kSecondNs;
    --seconds;
  }
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  const int length = std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09lldZ",
                                   parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                                   parts.tm_min, parts.tm_sec, static_cast<long long>(nanos));
  return std::string(text, static_cast<std::size_t>(length));
}

void LogSplitter::Emit(char tag, std::string_view content, std::string& out) {
  out += stamp_;
  out += ' ';
  out += stream_;
  out += ' ';
  out += tag;
  out += ' ';
  out += pending_;
  out += content;
  out += '\n';
  pending_.clear();
}

void LogSplitter::Feed(std::string_view data, std::int64_t realtime_ns, std::string& out) {
  stamp_ = LogTimestamp(realtime_ns);
  while (!data.empty()) {
    const std::size_t room = kMaxLogContent - pending_.size();
    const std::size_t newline = data.substr(0, room + 1).find('\n');
    if (newline != std::string_view::npos) {
      Emit('F', data.substr(0, newline), out);
      data.remove_prefix(newline + 1);
    } else if (data.size() > room) {
      // One more byte than fits, and it is no newline: this is a piece. (A line of just 16 KiB stays one F
      // record.)
      Emit('P', data.substr(0, room), out);
      data.remove_prefix(room);
    } else {
      pending_ += data;
      return;
    }
  }
  if (pending_.capacity() > 1024) pending_.shrink_to_fit();
}

void LogSplitter::Finish(std::int64_t realtime_ns, std::string& out) {
  if (pending_.empty()) return;
  stamp_ = LogTimestamp(realtime_ns);
  Emit('F', "", out);
}

}  // namespace berth::monitor
