// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>

namespace berth::base {

// Tells work that nobody waits for its result any more. Cancelled once, for good. Thread safe; shared by
// shared_ptr.
class Cancellation {
 public:
  void Cancel() {
    std::map<int, std::function<void()>> callbacks;
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_) return;
      cancelled_ = true;
      callbacks.swap(callbacks_);
    }
    for (auto& [id, callback] : callbacks) callback();
  }
  bool cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }
  // Calls `callback` once at Cancel() (on the canceller's thread), at once if that has been. Returns a handle
  // for Unsubscribe.
  int Subscribe(std::function<void()> callback) {
    {
      const std::lock_guard lock(mutex_);
      if (!cancelled_) {
        callbacks_[++last_id_] = std::move(callback);
        return last_id_;
      }
    }
    callback();
    return 0;
  }
  // Afterwards the callback is not begun any more; one that has begun may still run, so it must own what it
  // touches.
  void Unsubscribe(int handle) {
    const std::lock_guard lock(mutex_);
    callbacks_.erase(handle);
  }

 private:
  mutable std::mutex mutex_;
  bool cancelled_ = false;
  int last_id_ = 0;
  std::map<int, std::function<void()>> callbacks_;
};

}  // namespace berth::base
