// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/log.h"

#include <map>
#include <regex>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {

std::vector<LogRecord> ParseLog(const std::string& content) {
  static const std::regex time_form(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d))");
  std::vector<LogRecord> records;
  size_t begin = 0;
  while (begin < content.size()) {
    const size_t end = content.find('\n', begin);
    const std::string line = content.substr(begin, end == std::string::npos ? end : end - begin);
    if (end == std::string::npos) throw TestError("the log ends in the middle of a record: '" + line + "'");
    const size_t first = line.find(' '), second = line.find(' ', first + 1),
                 third = line.find(' ', second + 1);
    if (first == std::string::npos || second == std::string::npos || third == std::string::npos) {
      throw TestError("not a log record: '" + line + "'");
    }
    LogRecord record{line.substr(0, first), line.substr(first + 1, second - first - 1),
                     line.substr(second + 1, third - second - 1), line.substr(third + 1)};
    const bool known =
        (record.stream == "stdout" || record.stream == "stderr") && (record.tag == "P" || record.tag == "F");
    if (!known || !std::regex_match(record.time, time_form))
      throw TestError("not a log record: '" + line + "'");
    records.push_back(std::move(record));
    begin = end + 1;
  }
  return records;
}

std::vector<LogRecord> ReadLog(const std::string& path) {
  std::string content = TryReadFile(path).value_or("");
  // A record may be in the middle of its write right now: it is complete once its newline is there.
  content.resize(content.rfind('\n') == std::string::npos ? 0 : content.rfind('\n') + 1);
  return ParseLog(content);
}

std::vector<std::string> LogLines(const std::vector<LogRecord>& records, const std::string& stream) {
  std::vector<std::string> lines;
  std::map<std::string, std::string> pending;
  for (const LogRecord& record : records) {
    if (!stream.empty() && record.stream != stream) continue;
    pending[record.stream] += record.text;
    if (record.tag == "P") continue;
    lines.push_back(std::move(pending[record.stream]));
    pending.erase(record.stream);
  }
  for (auto& [name, text] : pending) lines.push_back(std::move(text));  // a last piece without a newline
  return lines;
}

}  // namespace berth::e2e
