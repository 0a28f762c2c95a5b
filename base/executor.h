// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace berth::base {

// A pool of threads that grows while all are busy, up to a limit, and shrinks when idle: our work blocks (CNI
// plugins, monitors, graces of StopContainer), so the number that is right depends on what is stuck just now.
// One thread is there from the beginning and stays: what was taken on is done also when the node is out of
// threads. Thread safe.
class Executor {
 public:
  explicit Executor(int max_threads, std::string name = "berth-work");
  ~Executor();  // Stop()s
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `work` on a thread of the pool; false (and not run) once stopping. Where the node is out of threads
  // it waits for one of those that the pool has.
  bool Submit(std::function<void()> work);
  // The same for work that somebody waits for: RESOURCE_EXHAUSTED (and not run) when all threads are busy and
  // the kernel gives no further one; UNAVAILABLE once stopping.
  absl::Status TrySubmit(std::function<void()> work);
  // Takes no more work, runs what was accepted, joins. Idempotent; not from a thread of the pool.
  void Stop();

 private:
  void Loop();
  int AddThread();  // with mutex_ held; 0 or an errno

  const int max_threads_;
  const std::string name_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;
  std::deque<std::function<void()>> queue_;
  int threads_ = 0;
  int idle_ = 0;
  bool stopping_ = false;
};

}  // namespace berth::base
