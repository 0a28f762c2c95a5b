// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <pthread.h>

#include <chrono>
#include <system_error>

#include "base/status.h"

namespace berth::base {
namespace {
constexpr auto kIdleLife = std::chrono::seconds(10);
}  // namespace

int Executor::StartDetached(std::function<void()> body) {
  try {
    std::thread(std::move(body)).detach();
    return 0;
  } catch (const std::system_error& error) {  // EAGAIN: RLIMIT_NPROC, pids.max, threads-max, no memory
    return error.code().value();
  }
}

Executor::Executor(int max_threads, std::string name, int reserved, StartThread start)
    : max_threads_(max_threads), name_(std::move(name)), reserved_(reserved), start_(std::move(start)) {
  std::unique_lock lock(mutex_);
  for (int i = 0; i < reserved_; ++i) {
    if (const int err = AddThread(); err != 0) {
      StopHeld(lock);
      throw std::system_error(err, std::generic_category(), "start a thread of '" + name_ + "'");
    }
  }
}

Executor::~Executor() { Stop(); }

int Executor::AddThread() {
  ++threads_;
  const int err = start_([this] { Loop(); });
  if (err != 0) --threads_;
  return err;
}

void Executor::AddIfBehind() {
  if (static_cast<int>(queue_.size()) > idle_ && threads_ < max_threads_) (void)AddThread();
}

bool Executor::Submit(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return false;
  queue_.push_back(std::move(work));
  AddIfBehind();
  wake_.notify_one();
  return true;
}

absl::Status Executor::TrySubmit(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("shutting down");
  if (static_cast<int>(queue_.size()) >= idle_ && threads_ < max_threads_) {
    if (const int err = AddThread(); err != 0) {
      // The code as kubelet understands it: try again.
      return WithCode(absl::StatusCode::kResourceExhausted, SyscallError(err, "start a thread"),
                      "the node gives no further thread (its limit of processes is reached, see pids.max and "
                      "kernel.threads-max)");
    }
  }
  queue_.push_back(std::move(work));
  wake_.notify_one();
  return absl::OkStatus();
}

void Executor::Stop() {
  std::unique_lock lock(mutex_);
  StopHeld(lock);
}

void Executor::StopHeld(std::unique_lock<std::mutex>& lock) {
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
      if (!work && threads_ > reserved_) break;
      continue;
    }
    auto work = std::move(queue_.front());
    queue_.pop_front();
    AddIfBehind();  // what was queued while the node gave no thread
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
