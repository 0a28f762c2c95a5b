// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <pthread.h>

#include <chrono>

namespace berth::base {
namespace {
constexpr auto kIdleLife = std::chrono::seconds(10);
}  // namespace

Executor::Executor(int max_threads, std::string name) : max_threads_(max_threads), name_(std::move(name)) {}

Executor::~Executor() { Stop(); }

bool Executor::Submit(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  if (stopping_) return false;
  queue_.push_back(std::move(work));
  if (static_cast<int>(queue_.size()) > idle_ && threads_ < max_threads_) {
    ++threads_;
    std::thread([this] { Loop(); }).detach();
  }
  wake_.notify_one();
  return true;
}

void Executor::Stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
  ended_.wait(lock, [this] { return threads_ == 0; });
}

void Executor::Loop() {
  ::pthread_setname_np(::pthread_self(), name_.substr(0, 15).c_str());
  std::unique_lock lock(mutex_);
  for (;;) {
    if (queue_.empty()) {
      if (stopping_) break;
      ++idle_;
      const bool work = wake_.wait_for(lock, kIdleLife, [this] { return stopping_ || !queue_.empty(); });
      --idle_;
      if (!work) break;
      continue;
    }
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it captured goes before the lock is taken
    lock.lock();
  }
  --threads_;
  // Under the lock: Stop() cannot return, and the pool cannot go, before this thread is done with it.
  ended_.notify_all();
}

}  // namespace berth::base
