// SPDX-License-Identifier: Apache-2.0
// One container's log file: whole records in one write, reopened between records, never blocking the
// application because the disk is full (design.md, rule 7): what cannot be written is dropped, counted, and
// told in the log when it can be written again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace berth::monitor {

class LogWriter {
 public:
  // `on_dropped` gets the total each time more was dropped than at the last call.
  explicit LogWriter(std::function<void(std::uint64_t total)> on_dropped)
      : on_dropped_(std::move(on_dropped)) {}

  // Opens (O_APPEND, created 0640) the file; what is no regular file is refused. On failure the one open
  // before stays in use.
  base::Result<void> Open(const std::string& path);
  base::Result<void> Reopen() { return Open(path_); }
  // `records`: whole records only, `content_bytes` of the application's in them.
  void Write(std::string_view records, std::uint64_t content_bytes);
  std::uint64_t dropped_bytes() const { return dropped_; }

 private:
  bool WriteWhole(std::string_view records, std::string_view& rest);
  void Drop(std::uint64_t bytes, int err);
  bool TellLoss();

  std::function<void(std::uint64_t)> on_dropped_;
  std::string path_;
  base::UniqueFd fd_;
  std::uint64_t dropped_ = 0;
  std::uint64_t untold_ = 0;  // dropped, and not yet told in the log
  int last_error_ = 0;
};

}  // namespace berth::monitor
