// SPDX-License-Identifier: Apache-2.0
// Container logs in the CRI's format: `<RFC 3339 time> <stdout|stderr> <P|F> <text>`.
#pragma once

#include <string>
#include <vector>

namespace berth::e2e {

struct LogRecord {
  std::string time;
  std::string stream;
  std::string tag;
  std::string text;
};

// Every record of a log file; throws TestError at a line that is not one (an unfinished last line too).
std::vector<LogRecord> ParseLog(const std::string& content);
std::vector<LogRecord> ReadLog(const std::string& path);  // a missing file is an empty log

// The application's lines: partial records joined. `stream` empty: both, in the file's order.
std::vector<std::string> LogLines(const std::vector<LogRecord>& records, const std::string& stream = "");

}  // namespace berth::e2e
