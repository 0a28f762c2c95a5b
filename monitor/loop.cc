// SPDX-License-Identifier: Apache-2.0
#include "monitor/loop.h"

#include <algorithm>
#include <climits>

#include "base/clock.h"

namespace berth::monitor {

base::Result<void> Loop::Open() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return base::SyscallFailed(errno, "epoll_create1");
  return {};
}

base::Result<void> Loop::Watch(int fd, std::uint32_t events, OnEvents on_events) {
  Unwatch(fd);
  const std::uint64_t id = next_id_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return base::SyscallFailed(errno, "epoll_ctl");
  watches_[id] = std::make_shared<OnEvents>(std::move(on_events));
  by_fd_[fd] = id;
  return {};
}

void Loop::Unwatch(int fd) {
  const auto at = by_fd_.find(fd);
  if (at == by_fd_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(at->second);
  by_fd_.erase(at);
}

Loop::TimerId Loop::After(std::int64_t ns, Work work) {
  const TimerId id = next_id_++;
  const std::int64_t at = base::MonotonicNs() + ns;
  timers_[{at, id}] = std::move(work);
  timer_times_[id] = at;
  return id;
}

void Loop::Cancel(TimerId id) {
  const auto at = timer_times_.find(id);
  if (at == timer_times_.end()) return;
  timers_.erase({at->second, id});
  timer_times_.erase(at);
}

void Loop::RunPosted() {
  while (!posted_.empty()) {
    const Work work = std::move(posted_.front());
    posted_.pop_front();
    work();
  }
}

void Loop::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first.first <= base::MonotonicNs()) {
    const Work work = std::move(timers_.begin()->second);
    timer_times_.erase(timers_.begin()->first.second);
    timers_.erase(timers_.begin());
    work();
  }
}

int Loop::WaitMs() const {
  if (!posted_.empty()) return 0;
  if (timers_.empty()) return -1;
  const std::int64_t left = timers_.begin()->first.first - base::MonotonicNs();
  if (left <= 0) return 0;
  return static_cast<int>(
      std::min<std::int64_t>((left + base::kMillisecondNs - 1) / base::kMillisecondNs, INT_MAX));
}

void Loop::Run() {
  while (!stopping_) {
    epoll_event events[16];
    const int count = ::epoll_wait(epoll_.get(), events, 16, WaitMs());
    for (int i = 0; i < count; ++i) {
      const auto at = watches_.find(events[i].data.u64);
      if (at == watches_.end()) continue;
      const auto on_events = at->second;  // keeps it alive while it removes itself
      (*on_events)(events[i].events);
    }
    RunTimers();
    RunPosted();
  }
  stopping_ = false;
}

}  // namespace berth::monitor
