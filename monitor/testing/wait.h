// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <functional>

#include "base/testing/patience.h"

namespace berth::monitor::testing {

// Asks every 10 ms, for at most 10 s (longer where tests are patient).
inline bool Eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < base::Patient(1000); ++i) {
    if (holds()) return true;
    ::usleep(10'000);
  }
  return false;
}

}  // namespace berth::monitor::testing
