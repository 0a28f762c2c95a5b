// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/users.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/files.h"
#include "runtime/security/accounts.h"

namespace berth::runtime::security {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "bad line\n"
    "overflow:x:4294967296:0::/:/bin/sh\n"
    "minus:x:-1:0::/:/bin/sh\n"
    "www:x:33:330:web:/var/www:/bin/sh\n"
    "twin:x:33:77::/twin:/bin/sh\n"
    "evil:x:50:50::/a\rb:/bin/sh\n"
    "short:x:60:61\n";
constexpr char kGroup[] =
    "root:x:0:\n"
    "www:x:330:\n"
    "audio:x:29:pulse,www\n"
    "video:x:44:www\n"
    "wwwx:x:45:wwwx\n"
    "big:x:4294967296:www\n"
    "staff:x:50:someone\n";

absl::StatusOr<ResolvedUser> Resolve(const ContainerConfig& container, const std::string& user = "") {
  image::ImageConfig image;
  image.user = user;
  return ResolveUserFrom(container, image, kPasswd, kGroup);
}

TEST(UsersTest, WithoutAnyWordItIsRootWithItsHome) {
  const auto user = Resolve({});
  ASSERT_TRUE(user.ok());
  EXPECT_EQ(user->uid, 0);
  EXPECT_EQ(user->gid, 0);
  EXPECT_EQ(user->home, "/root");
  EXPECT_THAT(user->supplemental_groups, ElementsAre(0));
}

TEST(UsersTest, AnImageUserIsANameANumberOrEitherWithAGroup) {
  struct {
    const char* text;
    std::int64_t uid, gid;
    const char* home;
  } const kCases[] = {
      {"www", 33, 330, "/var/www"},      {"33", 33, 330, "/var/www"},   {"www:staff", 33, 50, "/var/www"},
      {"33:1234", 33, 1234, "/var/www"}, {"1000", 1000, 0, "/"},        {"1000:2000", 1000, 2000, "/"},
      {":44", 0, 44, "/root"},           {"www:", 33, 330, "/var/www"}, {"4294967294", 4294967294, 0, "/"},
      {"0033", 33, 330, "/var/www"},     {"evil", 50, 50, "/"},         {"short", 60, 61, "/"},
  };
  for (const auto& c : kCases) {
    const auto user = Resolve({}, c.text);
    ASSERT_TRUE(user.ok()) << c.text << ": " << user.status();
    EXPECT_EQ(user->uid, c.uid) << c.text;
    EXPECT_EQ(user->gid, c.gid) << c.text;
    EXPECT_EQ(user->home, c.home) << c.text;
  }
}

TEST(UsersTest, WhatIsNoUserNeverBecomesRoot) {
  for (const char* text : {"4294967295", "4294967296", "18446744073709551616", "99999999999999999999999",
                           "-1", "0x0", "+0", " 0", "0 ", "nobody", "overflow", "minus", "root\n",
                           "0:nogroup", "0:4294967296", "0:-1", "www:audio:x"}) {
    const auto user = Resolve({}, text);
    ASSERT_FALSE(user.ok()) << text;
    EXPECT_EQ(user.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(Resolve({}, "nobody").status().message(), HasSubstr("'nobody'"));
}

TEST(UsersTest, TheRequestWinsOverTheImage) {
  ContainerConfig c;
  c.run_as_user = 33;
  EXPECT_EQ(Resolve(c, "root")->uid, 33);
  EXPECT_EQ(Resolve(c, "root")->gid, 330);
  c.run_as_group = 9;
  EXPECT_EQ(Resolve(c, "33:44")->gid, 9);
  c = {};
  c.run_as_username = "www";
  EXPECT_EQ(Resolve(c, "root")->uid, 33);
  c.run_as_username = "ghost";
  EXPECT_THAT(Resolve(c).status().message(), HasSubstr("'ghost' of the request"));
}

TEST(UsersTest, AUidOfZeroInTheRequestIsNotTheSameAsNone) {
  ContainerConfig c;
  c.run_as_user = 0;
  EXPECT_EQ(Resolve(c, "www")->uid, 0);
}

TEST(UsersTest, TheGroupHalfOfTheImagesUserStaysWithItsUserHalf) {
  ContainerConfig c;
  c.run_as_user = 1000;  // as kubelet sends it for USER 1000:2000
  EXPECT_EQ(Resolve(c, "1000:2000")->gid, 2000);
  EXPECT_EQ(Resolve(c, "1001:2000")->gid, 0);  // another user than the image's
  c = {};
  c.run_as_username = "www";
  EXPECT_EQ(Resolve(c, "www:audio")->gid, 29);
  EXPECT_EQ(Resolve(c, "root:audio")->gid, 330);
}

TEST(UsersTest, AGroupWithoutAUserIsRefused) {
  ContainerConfig c;
  c.run_as_group = 5;
  EXPECT_EQ(Resolve(c, "www").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(UsersTest, IdsOfTheRequestAreChecked) {
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{4294967295}, INT64_MAX, INT64_MIN}) {
    ContainerConfig c;
    c.run_as_user = bad;
    EXPECT_EQ(Resolve(c).status().code(), absl::StatusCode::kInvalidArgument) << bad;
    c.run_as_user = 1;
    c.run_as_group = bad;
    EXPECT_EQ(Resolve(c).status().code(), absl::StatusCode::kInvalidArgument) << bad;
    c.run_as_group.reset();
    c.supplemental_groups = {bad};
    EXPECT_EQ(Resolve(c).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(UsersTest, GroupsAreMergedFromTheImageUnlessStrict) {
  ContainerConfig c;
  c.run_as_user = 33;
  c.supplemental_groups = {5000, 44};
  EXPECT_THAT(Resolve(c)->supplemental_groups, ElementsAre(29, 44, 330, 5000));
  c.strict_supplemental_groups = true;
  EXPECT_THAT(Resolve(c)->supplemental_groups, ElementsAre(44, 330, 5000));
}

class RootfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-test-oci-users-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_TRUE(base::MakeDirs(dir_ + "/etc").ok());
    auto fd = base::OpenAt(AT_FDCWD, dir_, O_PATH | O_DIRECTORY);
    ASSERT_TRUE(fd.ok());
    root_ = std::move(*fd);
  }
  void TearDown() override { (void)base::RemoveTree(dir_); }
  absl::StatusOr<ResolvedUser> Resolve(const std::string& user) {
    image::ImageConfig image;
    image.user = user;
    return ResolveUser(root_.get(), {}, image);
  }
  std::string dir_;
  base::UniqueFd root_;
};

TEST_F(RootfsTest, FilesAreReadInsideTheRootOnly) {
  ASSERT_TRUE(base::WriteFile(dir_ + "/accounts", "inside:x:7:8::/in:/\n").ok());
  ASSERT_EQ(symlink("/accounts", (dir_ + "/etc/passwd").c_str()), 0);  // means the image's /accounts
  const auto user = Resolve("inside");
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 7);
  ASSERT_EQ(unlink((dir_ + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("../../../../../../etc/passwd", (dir_ + "/etc/passwd").c_str()),
            0);  // a loop, not the host's
  EXPECT_FALSE(Resolve("root").ok());
  EXPECT_TRUE(Resolve("0").ok());
}

TEST_F(RootfsTest, AnImageWithoutAccountsRunsNumbersButNoNames) {
  EXPECT_EQ(Resolve("1000")->uid, 1000);
  EXPECT_THAT(Resolve("www").status().message(), HasSubstr("missing or empty"));
}

TEST_F(RootfsTest, AFifoOrAnEndlessFileIsRefusedWithItsName) {
  ASSERT_EQ(mkfifo((dir_ + "/etc/passwd").c_str(), 0600), 0);
  EXPECT_THAT(Resolve("0").status().message(), HasSubstr("'/etc/passwd' of the image is not a regular file"));
  ASSERT_EQ(unlink((dir_ + "/etc/passwd").c_str()), 0);
  ASSERT_TRUE(base::WriteFile(dir_ + "/etc/passwd", "").ok());
  ASSERT_EQ(truncate((dir_ + "/etc/passwd").c_str(), 1LL << 40), 0);
  const auto user = Resolve("0");
  EXPECT_EQ(user.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(user.status().message(), HasSubstr("larger than"));
}

TEST_F(RootfsTest, ALongFileIsNoTrouble) {
  std::string text;
  for (int i = 0; i < 50000; ++i)
    text += "u" + std::to_string(i) + ":x:" + std::to_string(i + 1) + ":5::/h:/\n";
  ASSERT_TRUE(base::WriteFile(dir_ + "/etc/passwd", text).ok());
  EXPECT_EQ(Resolve("u49999")->uid, 50000);
}

}  // namespace
}  // namespace berth::runtime::security
