// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <algorithm>
#include <climits>
#include <ctime>

#include "base/files.h"

namespace berth::base {
namespace {

std::int64_t Now(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

}  // namespace

std::int64_t RealtimeNs() { return Now(CLOCK_REALTIME); }
std::int64_t MonotonicNs() { return Now(CLOCK_MONOTONIC); }
std::int64_t BoottimeNs() { return Now(CLOCK_BOOTTIME); }

const std::string& BootId() {
  static const std::string id = [] {
    auto text = ReadFile("/proc/sys/kernel/random/boot_id");
    if (!text) return std::string();
    while (!text->empty() && text->back() == '\n') text->pop_back();
    return *text;
  }();
  return id;
}

int Deadline::PollMs() const {
  if (never()) return -1;
  const std::int64_t left = at_ns_ - MonotonicNs();
  if (left <= 0) return 0;
  return static_cast<int>(std::min<std::int64_t>((left + kMillisecondNs - 1) / kMillisecondNs, INT_MAX));
}

}  // namespace berth::base
