// SPDX-License-Identifier: Apache-2.0
// The reading ends of a container's stdout and stderr (or its terminal), read from the loop and written to
// its log.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "monitor/log_format.h"
#include "monitor/log_writer.h"
#include "monitor/loop.h"

namespace berth::monitor {

class LogStreams {
 public:
  LogStreams(Loop& loop, LogWriter& writer) : loop_(loop), writer_(writer) {}
  ~LogStreams();
  // Starts reading `fd`, made non-blocking, as `stream` ("stdout", "stderr").
  base::Result<void> Add(base::UniqueFd fd, const std::string& stream);
  // Everybody who could write is dead: reads what is left, until the end or until nothing is there (somebody
  // outside may hold the other end), writes the last line without its newline, and closes.
  void DrainAndClose();

 private:
  struct Source {
    base::UniqueFd fd;
    LogSplitter splitter;
    bool ended = false;
  };
  // False at the end of the stream or when nothing is there now.
  bool ReadOnce(Source& source);
  void End(Source& source);

  Loop& loop_;
  LogWriter& writer_;
  std::map<int, std::unique_ptr<Source>> sources_;
};

}  // namespace berth::monitor
