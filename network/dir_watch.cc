// SPDX-License-Identifier: Apache-2.0
#include "network/dir_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace berth::network {
namespace {

constexpr std::uint32_t kChanges = IN_CREATE | IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO |
                                   IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;
constexpr std::uint32_t kArrivals = IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;

// Reads all that is there; true when there was something.
bool Consume(int fd) {
  alignas(inotify_event) char buffer[4096];
  bool any = false;
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return any;
    any = true;
  }
}

}  // namespace

DirWatch::DirWatch()
    : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void DirWatch::Watch(const std::vector<std::string>& dirs) {
  if (!inotify_) return;
  std::set<int> now;
  for (std::string dir : dirs) {
    int watch = ::inotify_add_watch(inotify_.get(), dir.c_str(), kChanges | IN_ONLYDIR);
    while (watch < 0 && dir.size() > 1) {
      const auto slash = dir.find_last_of('/');
      if (slash == std::string::npos) break;
      dir = slash == 0 ? "/" : dir.substr(0, slash);
      // IN_MASK_ADD: the ancestor may be watched in its own right.
      watch = ::inotify_add_watch(inotify_.get(), dir.c_str(), kArrivals | IN_ONLYDIR | IN_MASK_ADD);
    }
    if (watch >= 0) now.insert(watch);
  }
  for (const int old : watches_) {
    if (!now.contains(old)) (void)::inotify_rm_watch(inotify_.get(), old);
  }
  watches_ = std::move(now);
}

DirWatch::Event DirWatch::Wait(int timeout_ms) {
  pollfd fds[] = {{wake_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  const int ready = ::poll(fds, inotify_ ? 2 : 1, timeout_ms);
  if (ready <= 0) return Event::kTimeout;
  if (fds[0].revents != 0) {
    Consume(wake_.get());
    return Event::kWoken;
  }
  return Consume(inotify_.get()) ? Event::kChanged : Event::kTimeout;
}

void DirWatch::Wake() {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

}  // namespace berth::network
