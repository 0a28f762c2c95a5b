// SPDX-License-Identifier: Apache-2.0
#include "monitor/birth.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/clock.h"
#include "base/files.h"
#include "monitor/reaper.h"

namespace berth::monitor {
namespace {

void Ask(Loop& loop, pid_t pid, base::Deadline deadline, std::int64_t wait_ns,
         const std::shared_ptr<bool>& stopped, const std::function<void(bool)>& done) {
  if (*stopped) return;
  const auto flags = ProcessFlags(pid);
  if (!flags) return done(false);
  if (!NeverExecuted(*flags) || deadline.Passed()) return done(true);
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING: on its way out without having executed
  if ((*flags & kExiting) != 0) return done(false);
  loop.After(wait_ns, [&loop, pid, deadline, wait_ns, stopped, done] {
    Ask(loop, pid, deadline, std::min<std::int64_t>(wait_ns * 2, 20 * base::kMillisecondNs), stopped, done);
  });
}

}  // namespace

base::Result<PipePair> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::SyscallFailed(errno, "pipe2");
  return PipePair{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

std::optional<pid_t> ReadPidFile(const std::string& path) {
  const auto text = base::ReadFile(path, 64);
  if (!text) return std::nullopt;
  pid_t pid = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), pid);
  if (parsed.ec != std::errc() || pid <= 0) return std::nullopt;
  return pid;
}

std::string TakeAvailable(int fd) {
  constexpr std::size_t kMost = 16 * 1024;
  std::string text;
  if (fd < 0) return text;
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  while (text.size() < kMost) {
    char buffer[4096];
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

void WhenExecuted(Loop& loop, pid_t pid, std::int64_t limit_ns, std::shared_ptr<bool> stopped,
                  std::function<void(bool)> done) {
  Ask(loop, pid, base::Deadline::After(limit_ns), base::kMillisecondNs, stopped, done);
}

}  // namespace berth::monitor
