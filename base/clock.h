// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace berth::base {

// Wall clock, ns since 1970: what is shown to people and kubelet.
std::int64_t RealtimeNs();
// CLOCK_MONOTONIC, ns: deadlines and durations; unaffected by clock steps.
std::int64_t MonotonicNs();
// CLOCK_BOOTTIME, ns since boot, counting suspend.
std::int64_t BoottimeNs();
// The kernel's random id of this boot; empty when /proc is not there.
const std::string& BootId();

inline constexpr std::int64_t kMillisecondNs = 1'000'000;
inline constexpr std::int64_t kSecondNs = 1'000'000'000;

// A point in time on the monotonic clock by which something must be over.
class Deadline {
 public:
  static Deadline After(std::int64_t ns) { return Deadline(MonotonicNs() + ns); }
  static Deadline Never() { return Deadline(INT64_MAX); }
  bool never() const { return at_ns_ == INT64_MAX; }
  bool Passed() const { return !never() && MonotonicNs() >= at_ns_; }
  std::int64_t at_ns() const { return at_ns_; }
  // For poll(2): milliseconds left rounded up, 0 when passed, -1 for never.
  int PollMs() const;

 private:
  explicit Deadline(std::int64_t at_ns) : at_ns_(at_ns) {}
  std::int64_t at_ns_;
};

}  // namespace berth::base
