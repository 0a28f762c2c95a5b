// SPDX-License-Identifier: Apache-2.0
// Waiting for a thing itself, under a deadline, and the exception by which helpers end a test.
#pragma once

#include <absl/status/statusor.h>

#include <chrono>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/testing/patience.h"

namespace berth::e2e {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using base::Patient;

// Thrown by helpers in the middle of a test: GoogleTest reports the text as the failure.
class TestError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline std::string At(const std::source_location& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line()) + ": ";
}

template <typename T>
T Must(absl::StatusOr<T> result, std::source_location where = std::source_location::current()) {
  if (!result.ok()) throw TestError(At(where) + result.status().ToString());
  return *std::move(result);
}

inline void Must(const absl::Status& status, std::source_location where = std::source_location::current()) {
  if (!status.ok()) throw TestError(At(where) + status.ToString());
}

// True as soon as `done` is; false when it still is not after `patience`, made longer where the machine is
// slow.
inline bool Eventually(const std::function<bool()>& done, Clock::duration patience,
                       Clock::duration pause = milliseconds(20)) {
  const Clock::time_point deadline = Clock::now() + Patient(patience);
  for (;;) {
    if (done()) return true;
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
  }
}

// The same, but a timeout ends the test and says what was waited for.
inline void WaitFor(const std::string& what, const std::function<bool()>& done,
                    Clock::duration patience = seconds(15),
                    std::source_location where = std::source_location::current()) {
  if (!Eventually(done, patience)) throw TestError(At(where) + "waited in vain for " + what);
}

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace berth::e2e
