// SPDX-License-Identifier: Apache-2.0
#include "runtime/timers.h"

#include <pthread.h>

#include <chrono>

namespace berth::runtime {

Timers::Timers() : thread_([this] { Loop(); }) {}

Timers::~Timers() { Stop(); }

void Timers::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Timers::After(std::int64_t delay_ns, std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  due_.emplace(base::MonotonicNs() + delay_ns, std::move(callback));
  changed_.notify_all();
}

void Timers::Loop() {
  ::pthread_setname_np(::pthread_self(), "berth-timers");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const std::int64_t wait_ns = due_.begin()->first - base::MonotonicNs();
    if (wait_ns > 0) {
      changed_.wait_for(lock, std::chrono::nanoseconds(wait_ns));
      continue;
    }
    auto callback = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    lock.unlock();
    callback();
    callback = nullptr;
    lock.lock();
  }
}

}  // namespace berth::runtime
