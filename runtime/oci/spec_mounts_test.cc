// SPDX-License-Identifier: Apache-2.0
// Mounts: order, options, what takes the place of what, kernel file systems.
#include "runtime/oci/spec_fixture.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

TEST_F(SpecTest, PathsAreCleanedWithoutLeavingTheRoot) {
  EXPECT_EQ(CleanPath("a"), "/a");
  EXPECT_EQ(CleanPath("//a/./b//"), "/a/b");
  EXPECT_EQ(CleanPath("/../../x"), "/x");
  EXPECT_EQ(CleanPath(""), "/");
}

TEST_F(SpecTest, ParentsAreMountedBeforeChildrenAndEqualsKeepTheirOrder) {
  container_.mounts = {Bind("/data/a/b", "/1"), Bind("/data", "/2"), Bind("rel", "/3"), Bind("/data", "/4"),
                       Bind("/etc", "/5")};
  const json spec = Build();
  EXPECT_THAT(
      Destinations(spec),
      ElementsAre("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/data",
                  "/rel", "/data", "/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/data/a/b"));
  EXPECT_EQ(spec["mounts"][7]["source"], "/2");
  EXPECT_EQ(spec["mounts"][9]["source"], "/4");
}

TEST_F(SpecTest, WhatTheRequestMountsTakesThePlaceOfOurs) {
  container_.mounts = {Bind("/dev/", "/mydev"), Bind("/etc/hosts", "/h"), Bind("/sys/fs/cgroup", "/cg")};
  const json spec = Build();
  EXPECT_THAT(Destinations(spec), ElementsAre("/proc", "/sys", "/dev", "/etc/hostname", "/etc/resolv.conf",
                                              "/etc/hosts", "/sys/fs/cgroup"));
  EXPECT_EQ(MountAt(spec, "/etc/hosts")["source"], "/h");
  container_.mounts = {Bind("/devices", "/d")};  // a name that only begins alike
  EXPECT_THAT(Destinations(Build()), Contains("/dev/shm"));
}

TEST_F(SpecTest, MountOptionsFollowTheRequest) {
  Mount m = Bind("/m");
  container_.mounts = {m};
  EXPECT_EQ(MountAt(Build(), "/m")["options"], json({"rbind", "rprivate", "rw"}));
  EXPECT_FALSE(Build()["linux"].contains("rootfsPropagation"));
  m.readonly = m.recursive_read_only = true;
  m.mount_options = {"noexec", "nosuid", "nodev", "noexec"};
  container_.mounts = {m};
  EXPECT_EQ(MountAt(Build(), "/m")["options"],
            json({"rbind", "rprivate", "ro", "rro", "noexec", "nosuid", "nodev"}));
  Mount slave = Bind("/s"), shared = Bind("/t");
  slave.propagation = MountPropagation::kHostToContainer;
  shared.propagation = MountPropagation::kBidirectional;
  container_.mounts = {slave};
  EXPECT_EQ(Build()["linux"]["rootfsPropagation"], "rslave");
  container_.mounts = {shared, slave};
  EXPECT_EQ(Build()["linux"]["rootfsPropagation"], "rshared");
  EXPECT_EQ(MountAt(Build(), "/s")["options"][1], "rslave");
  EXPECT_EQ(MountAt(Build(), "/t")["options"][1], "rshared");
}

TEST_F(SpecTest, MountsThatCannotBeHonouredAreRefused) {
  const auto refused = [&](const Mount& m, absl::StatusCode code, const std::string& words) {
    container_.mounts = {m};
    ExpectRefused(code, words);
  };
  using absl::StatusCode;
  Mount m = Bind("/m");
  m.recursive_read_only = true;
  refused(m, StatusCode::kInvalidArgument, "'/m' is recursively read-only but not read-only");
  m.readonly = true;
  m.propagation = MountPropagation::kHostToContainer;
  refused(m, StatusCode::kInvalidArgument, "private propagation");
  m.propagation = MountPropagation::kPrivate;
  handler_.features.recursive_read_only_mounts = false;
  refused(m, StatusCode::kFailedPrecondition, "handler 'runc'");
  m = Bind("/m");
  m.mount_options = {"suid"};
  refused(m, StatusCode::kInvalidArgument, "'suid'");
  m.mount_options = {"noexec,bind"};
  refused(m, StatusCode::kInvalidArgument, "'noexec,bind'");
  refused(Bind("/"), StatusCode::kInvalidArgument, "whole root");
  refused(Bind("/a/.."), StatusCode::kInvalidArgument, "whole root");
  refused(Bind(""), StatusCode::kInvalidArgument, "no container path");
  refused(Bind("/m", ""), StatusCode::kInvalidArgument, "neither");
  refused(Bind("/m", "rel"), StatusCode::kInvalidArgument, "not absolute");
  refused(Bind("/m", "/\xff"), StatusCode::kInvalidArgument, "UTF-8");
  m = Bind("/m", "");
  m.image = ImageSpec{"sha256:1", {}, "", "", ""};
  refused(m, StatusCode::kInvalidArgument, "must be read-only");
  m.readonly = true;
  refused(m, StatusCode::kInternal, "was not made");
  m.host_path = "/h";
  refused(m, StatusCode::kInvalidArgument, "both an image and a host path");
}

TEST_F(SpecTest, KernelFileSystemsFitTheNamespaces) {
  EXPECT_EQ(MountAt(Build(), "/sys")["type"], "sysfs");
  EXPECT_THAT(MountAt(Build(), "/sys")["options"], Contains("ro"));
  EXPECT_THAT(MountAt(Build(), "/sys/fs/cgroup")["options"], Contains("ro"));
  EXPECT_EQ(MountAt(Build(), "/dev/shm")["source"], "/s/shm");
  container_.privileged = true;
  EXPECT_THAT(MountAt(Build(), "/sys")["options"], Contains("rw"));
  EXPECT_THAT(MountAt(Build(), "/sys/fs/cgroup")["options"], Contains("rw"));
  container_.privileged = false;
  input_.namespaces.network = NamespaceMode::kNode;
  input_.namespaces.user_namespace = true;
  input_.namespaces.uid_mappings = input_.namespaces.gid_mappings = {{65536, 0, 5}};
  input_.paths.userns = "/u";
  EXPECT_EQ(MountAt(Build(), "/sys")["source"], "/sys");  // a fresh sysfs would be EPERM
  EXPECT_THAT(MountAt(Build(), "/dev/pts")["options"], Not(Contains("gid=5")));  // group 5 is not mapped
  input_.namespaces.gid_mappings[0].length = 6;
  EXPECT_THAT(MountAt(Build(), "/dev/pts")["options"], Contains("gid=5"));
  input_.namespaces.ipc = NamespaceMode::kNode;
  EXPECT_EQ(MountAt(Build(), "/dev/shm")["source"], "/dev/shm");
  EXPECT_EQ(MountAt(Build(), "/dev/mqueue")["type"], "bind");
}

}  // namespace
}  // namespace berth::runtime::oci
