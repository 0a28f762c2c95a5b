// SPDX-License-Identifier: Apache-2.0
#include "monitor/log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "monitor/log_format.h"

namespace berth::monitor {

base::Result<void> LogWriter::Open(const std::string& path) {
  BERTH_FAULT_POINT("monitor.open_log");
  // O_NONBLOCK: a FIFO in its place must not hang the monitor before it is seen to be none of ours.
  // O_NOFOLLOW: kubelet gives a real path.
  auto fd = base::OpenAt(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY,
                         base::Resolve::kAnywhere, 0640);
  if (!fd) return fd.TakeError();
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return base::SyscallFailed(errno, "stat '" + path + "'");
  if (!S_ISREG(info.st_mode))
    return base::SyscallFailed(EINVAL, "open the log '" + path + "', which is no regular file");
  path_ = path;
  fd_ = std::move(*fd);
  return {};
}

bool LogWriter::WriteWhole(std::string_view records, std::string_view& rest) {
  rest = records;
  while (!rest.empty()) {
    ssize_t put = BERTH_FAULT_FAILS("monitor.log_write") ? (errno = ENOSPC, -1)
                                                         : ::write(fd_.get(), rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(put));
      continue;
    }
    last_error_ = errno;
    // The disk took part of a record: take that part back, so that the file holds whole records only.
    const std::size_t written = records.size() - rest.size();
    const std::size_t newline = written == 0 ? std::string_view::npos : records.rfind('\n', written - 1);
    const std::size_t whole = newline == std::string_view::npos ? 0 : newline + 1;
    struct stat info {};
    if (written > whole && ::fstat(fd_.get(), &info) == 0) {
      (void)!::ftruncate(fd_.get(), info.st_size - static_cast<off_t>(written - whole));
    }
    rest = records.substr(whole);
    return false;
  }
  return true;
}

bool LogWriter::TellLoss() {
  const std::string line = LogTimestamp(base::RealtimeNs()) + " stderr F berth: " + std::to_string(untold_) +
                           " bytes of this log were lost here: " + std::strerror(last_error_) + "\n";
  std::string_view rest;
  if (!WriteWhole(line, rest)) return false;
  untold_ = 0;
  return true;
}

void LogWriter::Drop(std::uint64_t bytes, int err) {
  last_error_ = err;
  dropped_ += bytes;
  untold_ += bytes;
  on_dropped_(dropped_);
}

void LogWriter::Write(std::string_view records, std::uint64_t content_bytes) {
  if (records.empty()) return;
  if (!fd_) return Drop(content_bytes, EBADF);
  if (untold_ > 0 && !TellLoss()) return Drop(content_bytes, last_error_);
  std::string_view rest;
  if (WriteWhole(records, rest)) return;
  // Counted in the application's bytes, as near as a share of the records tells.
  const std::uint64_t lost = content_bytes * rest.size() / records.size();
  Drop(lost == 0 ? 1 : lost, last_error_);
}

}  // namespace berth::monitor
