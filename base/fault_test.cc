// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

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

#ifdef BERTH_FAULTS
std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[256];
  while (pipe != nullptr && ::fgets(buffer, sizeof buffer, pipe) != nullptr) output += buffer;
  if (pipe != nullptr) ::pclose(pipe);
  return output;
}

TEST(FaultPoint, AProgramListsThePointsCompiledIntoItAndThoseThatItPasses) {
  BERTH_FAULT_POINT("test.one");
  EXPECT_FALSE(BERTH_FAULT_FAILS("test.two"));
  const std::string self = "/proc/" + std::to_string(::getpid()) + "/exe";
  EXPECT_EQ(OutputOf("BERTH_FAULT_LIST=all " + self), "test.one\ntest.two\n");
  const std::string file = testing::TempDir() + "passed-" + std::to_string(::getpid());
  OutputOf("BERTH_FAULT_LIST=" + file + " " + self + " --gtest_filter=*NobodyLists*");
  EXPECT_EQ(OutputOf("cat " + file), "test.one\n");
  ::unlink(file.c_str());
}

TEST(FaultPoint, NobodyListsWhatItDidNotPass) { BERTH_FAULT_POINT("test.one"); }
#endif

}  // namespace
}  // namespace berth::base
