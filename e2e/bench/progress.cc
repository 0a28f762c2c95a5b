// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/progress.h"

#include <stdio.h>

#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {

namespace {
const Clock::time_point kStart = Clock::now();
}

void Say(const std::string& text) {
  const int passed = static_cast<int>(SecondsSince(kStart));
  fprintf(stderr, "[%02d:%02d] %s\n", passed / 60, passed % 60, text.c_str());
}

}  // namespace berth::e2e::bench
