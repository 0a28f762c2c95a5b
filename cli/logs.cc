// SPDX-License-Identifier: Apache-2.0
// Reads the CRI log file itself, as kubelet does for `kubectl logs`: berthd is not on the way.
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/commands.h"

namespace berth::cli {
namespace {

constexpr int kLookMs = 1000;  // also how soon the end of the container is noticed

// "<time> <stream> <tags> <content>\n" → the content on the stream it came from; a piece ("P") without a
// line's end.
void Print(std::string_view line, bool timestamps) {
  const auto time_end = line.find(' ');
  const auto stream_end = time_end == line.npos ? line.npos : line.find(' ', time_end + 1);
  const auto tag_end = stream_end == line.npos ? line.npos : line.find(' ', stream_end + 1);
  if (tag_end == line.npos) return;  // not ours: a torn line of a full disk
  const std::string_view stream = line.substr(time_end + 1, stream_end - time_end - 1);
  const bool partial = line.substr(stream_end + 1, 1) == "P";
  std::ostream& out = stream == "stderr" ? std::cerr : std::cout;
  if (timestamps) out << line.substr(0, time_end) << ' ';
  out << line.substr(tag_end + 1);
  if (!partial) out << '\n';
}

class Follower {
 public:
  Follower(std::string path, const LogOptions& options) : path_(std::move(path)), options_(options) {}

  absl::Status Open() {
    auto fd = base::OpenAt(AT_FDCWD, path_, O_RDONLY);
    if (!fd.ok()) return base::ToStatus(fd.error());
    fd_ = std::move(*fd);
    return absl::OkStatus();
  }

  // All whole lines that are there now; keeps the last `tail` only when asked.
  absl::Status ReadAvailable(std::int64_t tail) {
    std::deque<std::string> kept;
    char buffer[65536];
    for (;;) {
      const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::SyscallError(errno, absl::StrCat("read '", path_, "'"));
      if (got == 0) break;
      rest_.append(buffer, static_cast<std::size_t>(got));
      std::size_t begin = 0;
      for (std::size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
        if (tail < 0) {
          Print(std::string_view(rest_).substr(begin, end - begin), options_.timestamps);
        } else if (tail > 0) {
          kept.push_back(rest_.substr(begin, end - begin));
          if (static_cast<std::int64_t>(kept.size()) > tail) kept.pop_front();
        }
      }
      rest_.erase(0, begin);
    }
    for (const auto& line : kept) Print(line, options_.timestamps);
    std::cout << std::flush;
    return absl::OkStatus();
  }

  // After a rotation the path names another file: the old one is at its end by then.
  absl::Status Reopen() {
    struct stat here {};
    struct stat there {};
    if (::fstat(fd_.get(), &here) != 0 || ::stat(path_.c_str(), &there) != 0) return absl::OkStatus();
    if (here.st_ino == there.st_ino && here.st_dev == there.st_dev) return absl::OkStatus();
    BERTH_RETURN_IF_ERROR(ReadAvailable(-1));
    rest_.clear();
    return Open();
  }

  // Returns when something was written there, or after a look's time.
  void Wait() {
    const std::string directory = path_.substr(0, path_.find_last_of('/'));
    if (!watch_.valid()) {
      watch_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
      if (watch_.valid())
        ::inotify_add_watch(watch_.get(), directory.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    }
    pollfd fd{watch_.get(), POLLIN, 0};
    ::poll(&fd, watch_.valid() ? 1 : 0, kLookMs);
    char events[4096];
    while (watch_.valid() && ::read(watch_.get(), events, sizeof events) > 0) {
    }
  }

 private:
  const std::string path_;
  const LogOptions& options_;
  base::UniqueFd fd_;
  base::UniqueFd watch_;
  std::string rest_;
};

}  // namespace

absl::Status Logs(Connection& daemon, const LogOptions& options) {
  cri::ContainerStatusRequest request;
  request.set_container_id(options.id);
  const auto status = daemon.ContainerStatus(request);
  if (!status.ok()) return status.status();
  Follower follower(status->status().log_path(), options);
  if (auto opened = follower.Open(); !opened.ok()) {
    return base::ErrnoOf(opened) == ENOENT
               ? absl::NotFoundError(absl::StrCat("there is no log at '", status->status().log_path(),
                                                  "': the container never ran, or its log was removed"))
               : opened;
  }
  BERTH_RETURN_IF_ERROR(follower.ReadAvailable(options.tail));
  while (options.follow) {
    const auto now = daemon.ContainerStatus(request);
    const bool over = !now.ok() || now->status().state() == cri::CONTAINER_EXITED;
    // Its log is complete before EXITED is seen: one more look, and that is all.
    BERTH_RETURN_IF_ERROR(follower.ReadAvailable(-1));
    BERTH_RETURN_IF_ERROR(follower.Reopen());
    if (over) return follower.ReadAvailable(-1);
    follower.Wait();
  }
  return absl::OkStatus();
}

}  // namespace berth::cli
