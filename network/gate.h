// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/clock.h"

namespace berth::network {

// CNI wants GC alone: no ADD or DEL while it runs. Operations of pods never wait for each other, only for a
// GC that is running; GC waits until none is under way and gives up at its deadline rather than hold up those
// that come. No mutex is held while anybody is inside. Thread safe.
class Gate {
 public:
  // False when the deadline passed first; then Leave() must not be called.
  bool Enter(base::Deadline deadline) {
    return Wait(
        deadline, [this] { return !alone_; }, [this] { ++inside_; });
  }
  void Leave() {
    const std::lock_guard lock(mutex_);
    --inside_;
    changed_.notify_all();
  }
  bool EnterAlone(base::Deadline deadline) {
    return Wait(
        deadline, [this] { return !alone_ && inside_ == 0; }, [this] { alone_ = true; });
  }
  void LeaveAlone() {
    const std::lock_guard lock(mutex_);
    alone_ = false;
    changed_.notify_all();
  }

 private:
  template <typename Free, typename Take>
  bool Wait(base::Deadline deadline, Free free, Take take) {
    std::unique_lock lock(mutex_);
    while (!free()) {
      if (deadline.Passed()) return false;
      if (deadline.never()) {
        changed_.wait(lock);
      } else {
        changed_.wait_for(lock, std::chrono::milliseconds(deadline.PollMs()));
      }
    }
    take();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool alone_ = false;
};

}  // namespace berth::network
