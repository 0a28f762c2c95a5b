// SPDX-License-Identifier: Apache-2.0
// RemoveTree beside a mount that was left: what is mounted is somebody's data.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/files.h"

namespace berth::base {
namespace {

TEST(RemoveTreeReal, NeverEntersAMountNotEvenOneOfTheSameFileSystem) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount";
  char name[] = "/tmp/berth-test-files-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string dir = name;
  ASSERT_TRUE(MakeDirs(dir + "/tree/volume").ok());
  ASSERT_TRUE(MakeDirs(dir + "/precious").ok());
  ASSERT_TRUE(WriteFile(dir + "/precious/file", "x").ok());
  ASSERT_EQ(::mount((dir + "/precious").c_str(), (dir + "/tree/volume").c_str(), nullptr, MS_BIND, nullptr),
            0);
  const auto removed = RemoveTree(dir + "/tree");
  ASSERT_FALSE(removed.ok());
  EXPECT_EQ(removed.error().err, EXDEV);
  EXPECT_TRUE(Exists(dir + "/precious/file"));
  ASSERT_EQ(::umount2((dir + "/tree/volume").c_str(), 0), 0);
  EXPECT_TRUE(RemoveTree(dir).ok());
  EXPECT_FALSE(Exists(dir));
}

}  // namespace
}  // namespace berth::base
