// SPDX-License-Identifier: Apache-2.0
// AppArmor's list of profiles and SELinux' labels: what can be told without either.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/files.h"
#include "base/process.h"
#include "runtime/security/apparmor.h"
#include "runtime/security/relabel.h"

namespace berth::runtime::security {
namespace {

using testing::HasSubstr;

class Labels : public testing::Test {
 protected:
  Labels() {
    char name[] = "/tmp/berth-test-labels-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~Labels() override { (void)base::RemoveTree(dir_); }
  std::string LabelOf(const std::string& path) const {
    char text[256] = {};
    return ::lgetxattr((dir_ + path).c_str(), "security.selinux", text, sizeof text - 1) < 0 ? "" : text;
  }
  std::string dir_;
};

TEST_F(Labels, AProfileIsLoadedOnlyByItsWholeName) {
  ASSERT_TRUE(base::WriteFile(dir_ + "/profiles", "docker-default (enforce)\nwith space (complain)\n").ok());
  const auto check = [&](const std::string& name) { return CheckApparmorProfile(name, dir_ + "/profiles"); };
  EXPECT_TRUE(check("docker-default").ok());
  EXPECT_TRUE(check("with space").ok());
  for (const char* name : {"docker", "default", "docker-default (enforce)", ""}) {
    EXPECT_EQ(check(name).code(), absl::StatusCode::kFailedPrecondition) << name;
  }
  EXPECT_THAT(std::string(check("mine").message()), HasSubstr("'mine' is not loaded"));
  EXPECT_FALSE(CheckApparmorProfile("x", dir_ + "/none").ok());
}

TEST(ApparmorProfile, IsWhatTheParserUnderstands) {
  const char* const parser = "/sbin/apparmor_parser";
  if (::access(parser, X_OK) != 0) GTEST_SKIP() << "needs apparmor_parser (Debian's package apparmor)";
  base::SpawnOptions spawn;
  spawn.argv = {parser, "--skip-kernel-load", "--skip-cache"};
  const auto run =
      base::RunCommand(spawn, ApparmorDefaultProfile(), base::Deadline::After(60 * base::kSecondNs));
  ASSERT_TRUE(run.ok()) << run.error().Message();
  EXPECT_EQ(run->status.ShellCode(), 0) << run->err;
}

TEST(SelinuxLabels, TakeWhatIsLeftOutFromWhatContainersHave) {
  EXPECT_EQ(ProcessLabel({}), "system_u:system_r:container_t:s0");
  EXPECT_EQ(ProcessLabel({"u", "r", "t", "s0:c1,c2"}), "u:r:t:s0:c1,c2");
  EXPECT_EQ(FileLabel("u:r:t:s0:c1,c2"), "u:object_r:container_file_t:s0:c1,c2");
}

TEST_F(Labels, RelabelReachesAllButWhatLinksPointTo) {
  ASSERT_TRUE(base::MakeDirs(dir_ + "/volume/sub").ok());
  ASSERT_TRUE(base::WriteFile(dir_ + "/volume/sub/file", "").ok());
  ASSERT_TRUE(base::WriteFile(dir_ + "/outside", "").ok());
  ASSERT_EQ(::symlink("../outside", (dir_ + "/volume/link").c_str()), 0);
  const std::string label = "system_u:object_r:container_file_t:s0";
  if (::setxattr(dir_.c_str(), "security.selinux", "x", 1, 0) != 0)
    GTEST_SKIP() << "cannot set security.* attributes here (" << ::strerror(errno) << ")";
  ASSERT_TRUE(Relabel(dir_ + "/volume", label, nullptr).ok());
  EXPECT_EQ(LabelOf("/volume"), label);
  EXPECT_EQ(LabelOf("/volume/sub"), label);
  EXPECT_EQ(LabelOf("/volume/sub/file"), label);
  EXPECT_EQ(LabelOf("/outside"), "");
}

TEST_F(Labels, RelabelCanBeCalledOffAndNeverTouchesTheSystem) {
  ASSERT_TRUE(base::MakeDirs(dir_ + "/a/b/c").ok());
  EXPECT_EQ(Relabel(dir_, "x", [] { return true; }).code(), absl::StatusCode::kCancelled);
  ASSERT_EQ(::symlink("/usr", (dir_ + "/usr").c_str()), 0);
  EXPECT_EQ(Relabel("/etc/", "x", nullptr).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Relabel(dir_ + "/usr", "x", nullptr).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace berth::runtime::security
