// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace berth::base {

// A pool of threads that grows while all are busy, up to a limit, and shrinks when idle: our work blocks (CNI
// plugins, monitors, graces of StopContainer), so the number that is right depends on what is stuck just now.
// Thread safe.
class Executor {
 public:
  explicit Executor(int max_threads, std::string name = "berth-work");
  ~Executor();  // Stop()s
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `work` on a thread of the pool; false (and not run) once stopping.
  bool Submit(std::function<void()> work);
  // Takes no more work, runs what was accepted, joins. Idempotent; not from a thread of the pool.
  void Stop();

 private:
  void Loop();

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
