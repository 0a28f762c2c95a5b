// SPDX-License-Identifier: Apache-2.0
#include "daemon/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "base/files.h"

namespace berth::daemon {
namespace {

using testing::HasSubstr;

class HostTest : public testing::Test {
 protected:
  HostTest() {
    char name[] = "/tmp/berth-test-daemon-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~HostTest() override { static_cast<void>(base::RemoveTree(dir_)); }
  std::string dir_;
};

TEST_F(HostTest, MakesADirectoryThatOthersCanWalkThroughAndNeitherListNorChange) {
  const std::string path = dir_ + "/a/b";
  ASSERT_TRUE(OwnDirectory(path).ok());
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0711U) << "the root of a user namespace walks to its root file system";
  EXPECT_TRUE(OwnDirectory(path).ok()) << "also when it is there";
}

TEST_F(HostTest, OpensADirectoryOfAnEarlierReleaseForWalkersAndLeavesAnAdministratorsAsItIs) {
  struct stat facts {};
  for (const auto& [before, after] : {std::pair{0700U, 0711U}, std::pair{0750U, 0750U}}) {
    ASSERT_EQ(::chmod(dir_.c_str(), before), 0);
    ASSERT_TRUE(OwnDirectory(dir_).ok());
    ASSERT_EQ(::stat(dir_.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 07777, after);
  }
}

TEST_F(HostTest, RefusesADirectoryThatOthersCanWriteTo) {
  ASSERT_EQ(::chmod(dir_.c_str(), 0777), 0);
  EXPECT_THAT(OwnDirectory(dir_).message(), HasSubstr("chmod go-w"));
  ASSERT_EQ(::chmod(dir_.c_str(), 0755), 0);
  EXPECT_TRUE(OwnDirectory(dir_).ok());
}

TEST_F(HostTest, RefusesADirectoryOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a directory away";
  ASSERT_EQ(::chown(dir_.c_str(), 12345, 0), 0);
  EXPECT_THAT(OwnDirectory(dir_).message(), HasSubstr("belongs to user 12345"));
}

TEST_F(HostTest, RefusesAFile) {
  ASSERT_TRUE(base::WriteFile(dir_ + "/file", "").ok());
  EXPECT_FALSE(OwnDirectory(dir_ + "/file").ok());
}

TEST_F(HostTest, OnlyOneHoldsADirectory) {
  {
    const auto first = LockDirectory(dir_);
    ASSERT_TRUE(first.ok());
    EXPECT_THAT(LockDirectory(dir_).status().message(), HasSubstr("another berthd"));
  }
  EXPECT_TRUE(LockDirectory(dir_).ok()) << "free again when its holder is gone";
}

TEST_F(HostTest, WaitsForAHolderThatIsAboutToGo) {
  auto first = LockDirectory(dir_);
  ASSERT_TRUE(first.ok());
  std::thread goes([&] {
    ::usleep(200'000);
    first->Reset();
  });
  EXPECT_TRUE(LockDirectory(dir_).ok());
  goes.join();
}

TEST_F(HostTest, AMissingProgramIsNamedWithThePlacesLookedAt) {
  const auto found = FindProgram("berth-no-such-program");
  EXPECT_THAT(found.status().message(), HasSubstr("berth-no-such-program"));
  EXPECT_THAT(found.status().message(), HasSubstr("/usr/libexec/berth"));
}

TEST_F(HostTest, FindsWhatLiesBesideThisProgram) {
  const auto found = FindProgram("daemon_test");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, testing::EndsWith("/daemon_test"));
}

}  // namespace
}  // namespace berth::daemon
