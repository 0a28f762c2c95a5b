// SPDX-License-Identifier: Apache-2.0
// The reading ends of a container's stdout and stderr (or its terminal), read from the loop and written to
// its log.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "monitor/log_format.h"
#include "monitor/log_writer.h"
#include "monitor/loop.h"

namespace berth::monitor {

class LogStreams {
 public:
  // What was read for the log, once it is there, for others who want it. Must not wait.
  using Tap = std::function<void(const std::string& stream, std::string_view bytes)>;
  LogStreams(Loop& loop, LogWriter& writer, Tap tap) : loop_(loop), writer_(writer), tap_(std::move(tap)) {}
  ~LogStreams();
  // Starts reading `fd`, made non-blocking, as `stream` ("stdout", "stderr").
  base::Result<void> Add(base::UniqueFd fd, const std::string& stream);
  // Everybody who could write is dead: reads what is left, until the end or until nothing is there (somebody
  // outside may hold the other end), writes the last line without its newline, and closes.
  void DrainAndClose();

 private:
  struct Source {
    base::UniqueFd fd;
    std::string stream;
    LogSplitter splitter;
    bool ended = false;
  };
  // False at the end of the stream or when nothing is there now.
  bool ReadOnce(Source& source);
  base::Result<void> Watch(Source& source);
  void End(Source& source);

  Loop& loop_;
  LogWriter& writer_;
  const Tap tap_;
  std::map<int, std::unique_ptr<Source>> sources_;
};

}  // namespace berth::monitor
