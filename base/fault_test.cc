// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace berth::base {
namespace {

// The environment is read once per process, so each case is a child of its own.
TEST(FaultPointDeathTest, AbortsAtTheNthPassing) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        ::setenv("BERTH_FAULT", "a.step:abort:2,b.step:fail", 1);
        if (FaultPoint("a.step")) std::exit(3);
        if (!FaultPoint("b.step")) std::exit(4);
        if (FaultPoint("b.step")) std::exit(5);  // only the first passing
        (void)FaultPoint("a.step");
        std::exit(6);
      },
      testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace berth::base
