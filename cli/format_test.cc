// SPDX-License-Identifier: Apache-2.0
#include "cli/format.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(Table, AlignsColumnsWithoutTrailingBlanks) {
  EXPECT_EQ(Table({{"A", "LONG"}, {"wider", "x"}}), "A      LONG\nwider  x\n");
}

TEST(Bytes, AreShownInBinaryUnits) {
  EXPECT_EQ(Bytes(0), "0 B");
  EXPECT_EQ(Bytes(1023), "1023 B");
  EXPECT_EQ(Bytes(52428800), "50.0 MiB");
  EXPECT_EQ(Bytes(std::uint64_t{3} << 50), "3072.0 TiB");
}

TEST(Time, IsUtcWithMilliseconds) {
  EXPECT_EQ(Time(0), "-");
  EXPECT_EQ(Time(1'700'000'000'123'456'789), "2023-11-14T22:13:20.123Z");
}

TEST(Printable, DisarmsTerminalSequences) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc"), "a\\x1b[2Jb\\x0ac");
  EXPECT_EQ(Printable("tab\tä"), "tab\tä");
}

}  // namespace
}  // namespace berth::cli
