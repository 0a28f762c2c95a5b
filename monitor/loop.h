// SPDX-License-Identifier: Apache-2.0
// The monitor's event loop: epoll, timers, posted work. Single-threaded; callbacks may add and remove
// anything, themselves included.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "base/fd.h"
#include "base/result.h"

namespace berth::monitor {

class Loop {
 public:
  using Work = std::function<void()>;
  using OnEvents = std::function<void(std::uint32_t events)>;
  using TimerId = std::uint64_t;  // 0 is never one

  base::Result<void> Open();
  // Level-triggered. `fd` is borrowed: Unwatch before closing it. A second Watch of an fd replaces the first.
  base::Result<void> Watch(int fd, std::uint32_t events, OnEvents on_events);
  void Unwatch(int fd);
  TimerId After(std::int64_t ns, Work work);
  void Cancel(TimerId id);
  // Runs soon, from the loop and not from within the caller.
  void Post(Work work) { posted_.push_back(std::move(work)); }
  void Run();  // until Stop(); and once more, if wanted
  void Stop() { stopping_ = true; }

 private:
  void RunPosted();
  void RunTimers();
  int WaitMs() const;

  base::UniqueFd epoll_;
  // Events carry a watch's number and not its fd: one closed and opened again within a batch must not get the
  // other's events.
  std::map<std::uint64_t, std::shared_ptr<OnEvents>> watches_;
  std::map<int, std::uint64_t> by_fd_;
  std::map<std::pair<std::int64_t, TimerId>, Work> timers_;
  std::map<TimerId, std::int64_t> timer_times_;
  std::deque<Work> posted_;
  std::uint64_t next_id_ = 1;
  bool stopping_ = false;
};

}  // namespace berth::monitor
