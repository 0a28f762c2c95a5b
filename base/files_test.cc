// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace berth::base {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/berth-files-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(dir_).ok()); }
  std::string dir_;
};

TEST_F(Files, ReplaceWholeContentAndLeaveNoTempFile) {
  const std::string path = dir_ + "/record";
  ASSERT_TRUE(WriteFileDurable(path, "old", 0640).ok());
  ASSERT_TRUE(WriteFileDurable(path, "new", 0640).ok());
  EXPECT_EQ(*ReadFile(path), "new");
  EXPECT_EQ(*ListDir(dir_), std::vector<std::string>{"record"});
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
}

TEST_F(Files, RefuseToReadBeyondTheCap) {
  ASSERT_TRUE(WriteFile(dir_ + "/big", std::string(100, 'x')).ok());
  EXPECT_EQ(ReadFile(dir_ + "/big", 99).error().err, EFBIG);
  EXPECT_TRUE(ReadFile(dir_ + "/big", 100).ok());
}

TEST_F(Files, ResolveInRootKeepsLinksInside) {
  ASSERT_TRUE(MakeDirs(dir_ + "/root/etc").ok());
  ASSERT_TRUE(WriteFile(dir_ + "/root/etc/passwd", "inside").ok());
  ASSERT_EQ(::symlink("/etc/passwd", (dir_ + "/root/absolute").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../etc/passwd", (dir_ + "/root/upwards").c_str()), 0);
  const auto root = OpenAt(AT_FDCWD, dir_ + "/root", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root.ok());
  for (const char* name : {"absolute", "upwards"}) {
    const auto fd = OpenAt(root->get(), name, O_RDONLY, Resolve::kInRoot);
    ASSERT_TRUE(fd.ok()) << fd.error().Message();
    EXPECT_EQ(*ReadFd(fd->get()), "inside");
    EXPECT_EQ(OpenAt(root->get(), name, O_RDONLY, Resolve::kBeneath).error().err, EXDEV);
    EXPECT_EQ(OpenAt(root->get(), name, O_RDONLY, Resolve::kNoSymlinks).error().err, ELOOP);
  }
}

TEST_F(Files, RemoveATreeWithoutFollowingLinks) {
  ASSERT_TRUE(MakeDirs(dir_ + "/kept").ok());
  ASSERT_TRUE(WriteFile(dir_ + "/kept/file", "x").ok());
  ASSERT_TRUE(MakeDirs(dir_ + "/tree/a/b").ok());
  ASSERT_EQ(::symlink((dir_ + "/kept").c_str(), (dir_ + "/tree/a/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(dir_ + "/tree").ok());
  EXPECT_FALSE(Exists(dir_ + "/tree"));
  EXPECT_TRUE(Exists(dir_ + "/kept/file"));
  EXPECT_TRUE(RemoveTree(dir_ + "/tree").ok());  // already gone
}

TEST_F(Files, HaveTheModeAskedForWhateverTheUmask) {
  const mode_t before = ::umask(077);
  EXPECT_TRUE(MakeDirs(dir_ + "/a/b", 0755).ok());
  EXPECT_TRUE(WriteFile(dir_ + "/a/file", "x", 0644).ok());
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat((dir_ + "/a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755U);
  ASSERT_EQ(::stat((dir_ + "/a/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
}

TEST_F(Files, NameTheObjectAndTheKernelsAnswer) {
  EXPECT_EQ(ReadFile(dir_ + "/none").error().Message(),
            "open '" + dir_ + "/none': No such file or directory");
  EXPECT_EQ(MakeDirs("/proc/self/status/x").error().err, ENOTDIR);
}

}  // namespace
}  // namespace berth::base
