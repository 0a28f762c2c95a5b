// SPDX-License-Identifier: Apache-2.0
// Devices that a request names: nodes, directories of them, links, block volumes.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

// A directory with /dev/zero and a block device under other names, and a link to the first beside it.
class HostDevices {
 public:
  HostDevices() : path_(Environment::Get().dir() + "/devices") {
    MakeDirs(path_ + "/below");
    Make(path_ + "/below/zero", S_IFCHR | 0666, makedev(1, 5));
    Make(path_ + "/disk", S_IFBLK | 0660, makedev(7, 0));
    Make(path_ + "/control", S_IFCHR | 0600, makedev(10, 237));  // of loop devices: opening it needs no right
    ::unlink(link().c_str());
    if (::symlink((path_ + "/below/zero").c_str(), link().c_str()) != 0) throw TestError("cannot link");
  }
  const std::string& path() const { return path_; }
  std::string link() const { return path_ + "-link"; }

 private:
  static void Make(const std::string& path, mode_t mode, dev_t device) {
    ::unlink(path.c_str());
    if (::mknod(path.c_str(), mode, device) != 0 || ::chmod(path.c_str(), mode & 07777) != 0)
      throw TestError("cannot make the device " + path);
  }
  std::string path_;
};

void AddDevice(cri::ContainerConfig* config, const std::string& host, const std::string& container,
               const std::string& permissions) {
  cri::Device* device = config->add_devices();
  device->set_host_path(host);
  device->set_container_path(container);
  device->set_permissions(permissions);
}

TEST(Devices, ADirectoryBringsAllThatAreInItAndALinkWhatItNames) {
  const HostDevices host;
  const Pod pod;
  cri::ContainerConfig config = Shell(
      "head -c 2 /dev/many/below/zero | wc -c; stat -c '%t:%T' /dev/many/disk; head -c 3 /dev/linked | wc "
      "-c");
  AddDevice(&config, host.path(), "/dev/many", "rwm");
  AddDevice(&config, host.link(), "/dev/linked", "r");
  EXPECT_EQ(OutputOf(pod, config), "2\n7:0\n3");
}

TEST(Devices, ABlockVolumeIsABlockDeviceThatMayBeOpened) {
  const HostDevices host;
  const Pod pod;
  cri::ContainerConfig config =
      Shell("test -b /dev/xvda && stat -c '%t:%T %a' /dev/xvda; echo up; sleep 1000");
  AddDevice(&config, host.path() + "/disk", "/dev/xvda", "mrw");
  const Container container = Container::Run(pod, config);
  container.WaitLine("up");
  EXPECT_THAT(container.Output(), testing::ElementsAre("7:0 660", "up"));
  if (!CgroupV2()) {
    EXPECT_THAT(ReadFile(CgroupDir("devices", container.cgroup()) + "/devices.list"), HasSubstr("b 7:0 rwm"));
  }
}

TEST(Devices, OnlyWhatWasAskedForIsPermitted) {
  if (!Exists("/dev/loop-control")) GTEST_SKIP() << "the kernel has no loop devices";
  const HostDevices host;
  const Pod pod;
  cri::ContainerConfig config =
      Shell("(: < /dev/control) && echo read; (: > /dev/control) 2>/dev/null || echo not written");
  AddDevice(&config, host.path() + "/control", "/dev/control", "r");
  EXPECT_EQ(OutputOf(pod, config), "read\nnot written");
  cri::ContainerConfig both = Shell("(: > /dev/control) && echo written");
  AddDevice(&both, host.path() + "/control", "/dev/control", "rw");
  EXPECT_EQ(OutputOf(pod, both), "written");
}

TEST(Devices, WhatIsNoneOrHasOtherPermissionsIsRefusedByName) {
  BERTH_NEEDS_OWN_DAEMON();
  const HostDevices host;
  const Pod pod;
  const auto refusal = [&](const std::string& path, const std::string& permissions) {
    cri::ContainerConfig config = Server();
    AddDevice(&config, path, "/dev/x", permissions);
    return std::string(Cri().CreateContainer(CreateRequest(pod, config)).status().message());
  };
  EXPECT_THAT(refusal("/dev/not-there", "rwm"), HasSubstr("/dev/not-there"));
  EXPECT_THAT(refusal("/etc/hostname", "rwm"), HasSubstr("/etc/hostname"));
  EXPECT_THAT(refusal(host.path() + "/disk", "rwx"), HasSubstr("rwx"));
}

}  // namespace
}  // namespace berth::e2e
