// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT: a thread of their own waits for them, so that they work at any time.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/fd.h"

namespace berth::daemon {

// Make it before any other thread (it blocks the signals for all that follow). While starting, a signal ends
// the process at once, exit code 0: nothing is lost by that. Once Serving(), it wakes WaitForStop(); if the
// orderly end then takes longer than ten seconds (a StopContainer with a long grace is under way), or a
// second signal comes, the process ends at once as well: the next daemon takes up what was under way.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  void Serving();
  // Returns the signal's number.
  int WaitForStop();

 private:
  void Loop();
  // The next signal, 0 when `timeout_ms` passed first (-1: never) or this is being destroyed.
  int Next(int timeout_ms);

  base::UniqueFd signals_, end_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool serving_ = false;
  int received_ = 0;
  std::thread thread_;
};

}  // namespace berth::daemon
