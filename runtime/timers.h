// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "base/clock.h"

namespace berth::runtime {

// Calls functions later, on one thread of its own: they must be quick (hand over to an executor). Thread
// safe.
class Timers {
 public:
  Timers();
  ~Timers();
  // Ends the thread: no callback runs after this; what has not come due, or comes later, is dropped.
  // Idempotent; not from a callback.
  void Stop();
  void After(std::int64_t delay_ns, std::function<void()> callback);

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<std::int64_t, std::function<void()>> due_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace berth::runtime
