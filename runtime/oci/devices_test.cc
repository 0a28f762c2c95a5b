// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/files.h"

namespace berth::runtime::oci {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::vector<SpecInput::ResolvedDevice>> Resolve(const Device& device) {
  ContainerConfig c;
  c.devices = {device};
  return ResolveDevices(c);
}

class DevicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-test-oci-dev-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(dir_).ok()); }
  std::string dir_;
};

TEST_F(DevicesTest, ADeviceALinkToOneAndADirectoryAreResolved) {
  const auto plain = Resolve({"/dev/mine", "/dev/null", ""});
  ASSERT_TRUE(plain.ok()) << plain.status();
  ASSERT_EQ(plain->size(), 1u);
  EXPECT_EQ((*plain)[0].path, "/dev/mine");
  EXPECT_EQ((*plain)[0].type, "c");
  EXPECT_EQ((*plain)[0].major, 1);
  EXPECT_EQ((*plain)[0].minor, 3);
  EXPECT_EQ((*plain)[0].permissions, "rwm");
  ASSERT_EQ(symlink("/dev/zero", (dir_ + "/link").c_str()), 0);
  EXPECT_EQ((*Resolve({"/dev/x", dir_ + "/link", "r"}))[0].minor, 5);
  EXPECT_EQ((*Resolve({"", "/dev/null", "r"}))[0].path, "/dev/null");
}

TEST_F(DevicesTest, ADirectoryBringsTheDevicesBelowIt) {
  if (geteuid() != 0) GTEST_SKIP() << "mknod needs root";
  ASSERT_TRUE(base::MakeDirs(dir_ + "/sub").ok());
  if (mknod((dir_ + "/a").c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0)
    GTEST_SKIP() << "mknod is not permitted here";
  ASSERT_EQ(mknod((dir_ + "/sub/b").c_str(), S_IFBLK | 0600, makedev(8, 1)), 0);
  ASSERT_TRUE(base::WriteFile(dir_ + "/file", "x").ok());
  ASSERT_EQ(symlink(dir_.c_str(), (dir_ + "/sub/loop").c_str()), 0);
  const auto devices = Resolve({"/dev/all", dir_, "rw"});
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[0].path, "/dev/all/a");
  EXPECT_EQ((*devices)[1].path, "/dev/all/sub/b");
  EXPECT_EQ((*devices)[1].type, "b");
  EXPECT_EQ((*devices)[1].permissions, "rw");
  // As a privileged container's /dev: known names and namespaces' own are left out.
  ASSERT_EQ(mknod((dir_ + "/null").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  ASSERT_TRUE(base::MakeDirs(dir_ + "/pts").ok());
  ASSERT_EQ(mknod((dir_ + "/pts/0").c_str(), S_IFCHR | 0600, makedev(136, 0)), 0);
  const auto host = HostDevices(dir_);
  ASSERT_TRUE(host.ok());
  ASSERT_EQ(host->size(), 2u);
  EXPECT_EQ((*host)[0].path, "/dev/a");
}

TEST_F(DevicesTest, WhatIsNoDeviceIsRefusedByName) {
  EXPECT_THAT(Resolve({"/dev/x", "/dev/no-such", ""}).status().message(), HasSubstr("'/dev/no-such'"));
  ASSERT_TRUE(base::WriteFile(dir_ + "/file", "x").ok());
  EXPECT_THAT(Resolve({"/dev/x", dir_ + "/file", ""}).status().message(), HasSubstr("neither a device"));
  EXPECT_THAT(Resolve({"/dev/x", "/dev/null", "rx"}).status().message(), HasSubstr("'rx'"));
  ASSERT_TRUE(base::MakeDirs(dir_ + "/empty").ok());
  EXPECT_THAT(Resolve({"/dev/x", dir_ + "/empty", ""}).status().message(), HasSubstr("no device is in"));
  for (const Device& bad : {Device{"/dev/x", "", ""}, Device{"/dev/x", "/dev/no-such", ""}}) {
    EXPECT_EQ(Resolve(bad).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(DevicesTest, AMissingMountSourceIsRefusedByName) {
  ContainerConfig c;
  Mount m;
  m.container_path = "/in";
  m.host_path = dir_;
  c.mounts = {m};
  EXPECT_TRUE(CheckMountSources(c).ok());
  c.mounts[0].host_path = dir_ + "/missing";
  const absl::Status status = CheckMountSources(c);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(dir_ + "/missing' of the mount at '/in': No such file"));
}

}  // namespace
}  // namespace berth::runtime::oci
