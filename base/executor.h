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
// What was taken on is begun in its order, also when the node is out of threads: `reserved` threads are there
// from the beginning and stay. So work may wait for work that the same pool took on before it, never for work
// that comes later: then no thread would have to be had for the pool to go on. Thread safe.
class Executor {
 public:
  // Starts a thread that runs `body`; 0 or an errno. Tests give one that refuses.
  using StartThread = std::function<int(std::function<void()> body)>;

  // Throws std::system_error, as std::thread does, when it cannot have the threads that stay.
  explicit Executor(int max_threads, std::string name = "berth-work", int reserved = 1,
                    StartThread start = StartDetached);
  ~Executor();  // Stop()s
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `work` on a thread of the pool; false (and not run) once stopping. Where the node is out of threads
  // it waits for one of those that the pool has; each that comes free asks the node for another.
  bool Submit(std::function<void()> work);
  // The same for work that somebody waits for: RESOURCE_EXHAUSTED (and not run) when all threads are busy and
  // the kernel gives no further one; UNAVAILABLE once stopping.
  absl::Status TrySubmit(std::function<void()> work);
  // Takes no more work, runs what was accepted, joins. Idempotent; not from a thread of the pool.
  void Stop();

 private:
  static int StartDetached(std::function<void()> body);
  void Loop();
  void StopHeld(std::unique_lock<std::mutex>& lock);
  int AddThread();     // with mutex_ held; 0 or an errno
  void AddIfBehind();  // with mutex_ held: there is more work than idle threads

  const int max_threads_;
  const std::string name_;
  const int reserved_;
  const StartThread start_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;
  std::deque<std::function<void()>> queue_;
  int threads_ = 0;
  int idle_ = 0;
  bool stopping_ = false;
};

}  // namespace berth::base
