// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace berth::runtime {

// At most one thing at a time is done to a pod or container: a token with a name, waited for under a deadline
// and told in the error. Not a lock: nobody who only looks ever needs it. Thread safe.
class Activity {
 public:
  class Guard {
   public:
    Guard(Guard&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (owner_ != nullptr) owner_->End();
    }

   private:
    friend class Activity;
    explicit Guard(Activity* owner) : owner_(owner) {}
    Activity* owner_;
  };

  // ABORTED, naming what is under way and for how long, when it does not end by the deadline.
  absl::StatusOr<Guard> Begin(const std::string& name, base::Deadline deadline) {
    std::unique_lock lock(mutex_);
    while (!name_.empty()) {
      if (deadline.never()) {
        ended_.wait(lock);
      } else if (ended_.wait_for(lock, std::chrono::nanoseconds(deadline.at_ns() - base::MonotonicNs())) ==
                     std::cv_status::timeout &&
                 deadline.Passed() && !name_.empty()) {
        return absl::AbortedError(absl::StrCat("'", name_, "' is under way for ",
                                               (base::MonotonicNs() - since_ns_) / base::kSecondNs, " s"));
      }
    }
    name_ = name;
    since_ns_ = base::MonotonicNs();
    return Guard(this);
  }

 private:
  void End() {
    const std::lock_guard lock(mutex_);
    name_.clear();
    ended_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable ended_;
  std::string name_;
  std::int64_t since_ns_ = 0;
};

}  // namespace berth::runtime
