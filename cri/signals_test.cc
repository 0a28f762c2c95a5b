// SPDX-License-Identifier: Apache-2.0
#include "cri/signals.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <set>
#include <string>

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

TEST(CriSignals, EveryValueOfTheEnumNamesALinuxSignal) {
  std::set<int> numbers;
  for (int value = 1; value <= v1::Signal_MAX; ++value) {
    const auto number = LinuxSignal(static_cast<v1::Signal>(value));
    ASSERT_TRUE(number.ok() && number->has_value()) << value;
    numbers.insert(**number);
  }
  // All of 1..64 but the two that libc keeps, with 29 names for RT and 3 second names.
  EXPECT_EQ(numbers.size(), 62U);
}

TEST(CriSignals, AreMappedByNameNotByNumber) {
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGTERM), SIGTERM);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGKILL), SIGKILL);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGABRT), SIGABRT);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGRTMIN), 34);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGRTMINPLUS3), 37);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGRTMINPLUS15), 49);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGRTMAXMINUS14), 50);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGRTMAX), 64);
}

TEST(CriSignals, SecondNamesAreTheSameSignal) {
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGCLD), SIGCHLD);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGIOT), SIGABRT);
  EXPECT_EQ(*LinuxSignal(v1::SIGNAL_SIGPOLL), SIGIO);
}

TEST(CriSignals, TheWayBackGivesTheUsualName) {
  EXPECT_EQ(CriSignal(SIGCHLD), v1::SIGNAL_SIGCHLD);
  EXPECT_EQ(CriSignal(SIGABRT), v1::SIGNAL_SIGABRT);
  for (int value = 1; value <= v1::Signal_MAX; ++value) {
    const auto signal = static_cast<v1::Signal>(value);
    const auto back = CriSignal(**LinuxSignal(signal));
    EXPECT_EQ(**LinuxSignal(back), **LinuxSignal(signal)) << v1::Signal_Name(signal);
  }
}

TEST(CriSignals, TheDefaultIsNone) { EXPECT_EQ(*LinuxSignal(v1::SIGNAL_RUNTIME_DEFAULT), std::nullopt); }

TEST(CriSignals, AnUnknownNumberIsRefused) {
  EXPECT_EQ(LinuxSignal(static_cast<v1::Signal>(99)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CriSignal(32), v1::SIGNAL_RUNTIME_DEFAULT);
}

}  // namespace
}  // namespace berth::cri
