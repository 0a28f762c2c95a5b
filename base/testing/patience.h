// SPDX-License-Identifier: Apache-2.0
// How patient tests are: their deadlines say when something is broken, not how quick it has to be.
#pragma once

#include <cstdlib>

namespace berth::base {

// A bound that stands in a test (a duration, a deadline's nanoseconds, a number of seconds), as long as this
// machine needs it: times BERTH_TEST_PATIENCE, which an emulated processor sets.
template <typename Time>
Time Patient(Time time) {
  static const int factor = [] {
    const char* text = std::getenv("BERTH_TEST_PATIENCE");
    const int value = text == nullptr ? 1 : std::atoi(text);
    return value < 1 ? 1 : value;
  }();
  return time * factor;
}

}  // namespace berth::base
