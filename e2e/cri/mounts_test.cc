// SPDX-License-Identifier: Apache-2.0
// Bind mounts: access, propagation, order, and the places that images try to lead them to.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/harness/volumes.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

// A new directory on the host with a file in it.
std::string HostDir(const std::string& name) {
  const std::string path = Environment::Get().dir() + "/mounts/" + name;
  MakeDirs(path);
  WriteFile(path + "/file", "from the host\n");
  return path;
}

absl::Status CreateAndDrop(const Pod& pod, const cri::ContainerConfig& config) {
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  if (!created.ok()) return created.status();
  const absl::Status started =
      Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).status();
  Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(created->container_id())));
  return started;
}

TEST(Mounts, ADirectoryIsSharedBothWays) {
  const Pod pod;
  const std::string host = HostDir("shared");
  cri::ContainerConfig config = Shell("cat /data/file; echo from the container > /data/new");
  AddMount(&config, host, "/data");
  EXPECT_EQ(OutputOf(pod, config), "from the host");
  EXPECT_EQ(ReadFile(host + "/new"), "from the container\n");
}

TEST(Mounts, AFileCanBeMountedAlsoWhereTheImageHasOneAndWhereItHasNone) {
  const Pod pod;
  const std::string host = HostDir("file");
  cri::ContainerConfig config =
      Shell("cat /etc/group /not/in/image /dev/termination-log; echo last > /dev/termination-log");
  AddMount(&config, host + "/file", "/etc/group");
  AddMount(&config, host + "/file", "/not/in/image");
  WriteFile(host + "/message", "m\n", 0666);
  AddMount(&config, host + "/message", "/dev/termination-log");
  EXPECT_EQ(OutputOf(pod, config), "from the host\nfrom the host\nm");
  EXPECT_EQ(ReadFile(host + "/message"), "last\n");
}

TEST(Mounts, AReadonlyMountRefusesWrites) {
  const Pod pod;
  cri::ContainerConfig config = Shell("touch /data/x 2>/dev/null || echo refused");
  AddMount(&config, HostDir("readonly"), "/data")->set_readonly(true);
  EXPECT_EQ(OutputOf(pod, config), "refused");
}

TEST(Mounts, TheStatusListsThemForTheTerminationMessage) {
  const Pod pod;
  const std::string host = HostDir("listed");
  cri::ContainerConfig config = Server();
  AddMount(&config, host, "/data")->set_readonly(true);
  const Container container(pod, config);
  bool found = false;
  const cri::ContainerStatus status = container.Status();
  for (const cri::Mount& mount : status.mounts()) {
    if (mount.container_path() == "/data") {
      found = true;
      EXPECT_EQ(mount.host_path(), host);
      EXPECT_TRUE(mount.readonly());
    }
  }
  EXPECT_TRUE(found);
}

TEST(Mounts, AMissingHostPathIsAnErrorThatNamesIt) {
  BERTH_NEEDS_OWN_DAEMON();  // containerd makes a directory there
  const Pod pod;
  cri::ContainerConfig config = Server();
  AddMount(&config, "/nonexistent/on-the-host", "/data");
  const absl::Status status = CreateAndDrop(pod, config);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/on-the-host"));
  EXPECT_NE(status.code(), absl::StatusCode::kNotFound) << "kubelet reads NOT_FOUND as 'container gone'";
  EXPECT_FALSE(Exists("/nonexistent"));
}

TEST(Mounts, ASymlinkOnTheHostIsFollowed) {
  const Pod pod;
  const std::string host = HostDir("target");
  const std::string link = Environment::Get().dir() + "/mounts/link";
  ::unlink(link.c_str());
  ASSERT_EQ(::symlink(host.c_str(), link.c_str()), 0);
  cri::ContainerConfig config = Shell("cat /data/file");
  AddMount(&config, link, "/data");
  EXPECT_EQ(OutputOf(pod, config), "from the host");
}

TEST(Mounts, ParentsAreMountedBeforeChildrenHoweverListed) {
  const Pod pod;
  const std::string outer = HostDir("outer"), inner = HostDir("inner");
  WriteFile(inner + "/file", "inner\n");
  MakeDirs(outer + "/deep/er");
  cri::ContainerConfig config = Shell("cat /data/file /data/deep/er/file");
  AddMount(&config, inner, "/data/deep/er");
  AddMount(&config, outer, "/data");
  EXPECT_EQ(OutputOf(pod, config), "from the host\ninner");
}

TEST(Mounts, ARelativePathAndOneWithDotsMeanPlacesBelowTheRoot) {
  const Pod pod;
  cri::ContainerConfig config =
      Shell("cat /mnt/dots/file /mnt/dots/below/file; grep -c ' /mnt/dots' /proc/mounts");
  AddMount(&config, HostDir("relative"), "mnt/dots/below");
  // The parent, though it has more slashes.
  AddMount(&config, HostDir("dots"), "/../srv//..//mnt/./dots/");
  EXPECT_EQ(OutputOf(pod, config), "from the host\nfrom the host\n2");
}

TEST(Mounts, APathThroughTheImagesSymlinksStaysInside) {
  const Pod pod;
  // The image `layers` has /links/out -> ../../../../../../../tmp: inside the root that is the container's
  // own /tmp.
  cri::ContainerConfig config = Command({"sh", "-c", "cat /tmp/berth-escape/file"}, "layers");
  AddMount(&config, HostDir("escape"), "/links/out/berth-escape");
  EXPECT_EQ(OutputOf(pod, config), "from the host");
  EXPECT_FALSE(Exists("/tmp/berth-escape"));
}

// A mount point of its own on the host, shared so that mounts can travel.
class SharedMount {
 public:
  explicit SharedMount(const std::string& name) : path_(HostDir(name)) {
    if (::mount("berth-e2e", path_.c_str(), "tmpfs", 0, "size=1m") != 0 ||
        ::mount(nullptr, path_.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
      throw TestError("cannot mount " + path_);
    }
    MakeDirs(path_ + "/sub");
  }
  ~SharedMount() {
    ::umount2((path_ + "/sub").c_str(), MNT_DETACH);
    ::umount2(path_.c_str(), MNT_DETACH);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Mounts, HostToContainerLetsTheHostsLaterMountsIn) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  const SharedMount host("slave");
  cri::ContainerConfig config = Server();
  AddMount(&config, host.path(), "/slave")->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  AddMount(&config, host.path(), "/private");
  const Container container = Container::Run(pod, config);
  ASSERT_EQ(::mount("late", (host.path() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
  WriteFile(host.path() + "/sub/late", "seen\n");
  EXPECT_EQ(container.Sh("cat /slave/sub/late"), "seen");
  EXPECT_EQ(container.Sh("ls /private/sub"), "");
}

TEST(Mounts, BidirectionalLetsTheContainersMountsOut) {
  BERTH_NEEDS_OWN_DAEMON();
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const Pod pod(pod_config);
  const SharedMount host("shared-out");
  cri::ContainerConfig config = Server();
  Security(&config)->set_privileged(true);
  AddMount(&config, host.path(), "/shared")->set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
  const Container container = Container::Run(pod, config);
  container.Sh("mount -t tmpfs inner /shared/sub && echo out > /shared/sub/file");
  EXPECT_EQ(TryReadFile(host.path() + "/sub/file").value_or("nothing"), "out\n");
}

TEST(Mounts, BidirectionalFromAPrivateMountIsRefused) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig config = Server();
  Security(&config)->set_privileged(true);
  AddMount(&config, HostDir("private"), "/data")->set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
  const absl::Status status = CreateAndDrop(pod, config);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("shared"));
}

TEST(Mounts, RecursiveReadOnlyHoldsForTheMountsBelowToo) {
  BERTH_NEEDS_OWN_DAEMON();
  const cri::StatusResponse status = Must(Cri().Status({}));
  for (const cri::RuntimeHandler& handler : status.runtime_handlers()) {
    if (handler.name().empty() && !handler.features().recursive_read_only_mounts())
      GTEST_SKIP() << "the OCI runtime of the default handler does not do recursive read-only mounts";
  }
  const Pod pod;
  const SharedMount host("rro-works");
  ASSERT_EQ(::mount("below", (host.path() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
  WriteFile(host.path() + "/sub/file", "below\n");
  cri::ContainerConfig config = Server();
  cri::Mount* recursive = AddMount(&config, host.path(), "/recursive");
  recursive->set_readonly(true);
  recursive->set_recursive_read_only(true);
  AddMount(&config, host.path(), "/plain")->set_readonly(true);
  const Container container = Container::Run(pod, config);
  EXPECT_EQ(container.Sh("cat /recursive/sub/file /plain/sub/file"), "below\nbelow");
  const auto write = [&](const std::string& path) {
    const cri::ExecSyncResponse reply = container.Exec({"sh", "-c", "echo x > " + path});
    return reply.exit_code() == 0 ? "written" : reply.stderr();
  };
  EXPECT_THAT(write("/recursive/new"), HasSubstr("Read-only"));
  EXPECT_THAT(write("/recursive/sub/new"), HasSubstr("Read-only"));
  EXPECT_THAT(write("/plain/new"), HasSubstr("Read-only"));
  EXPECT_EQ(write("/plain/sub/new"), "written") << "what the recursion adds";
  EXPECT_TRUE(container.Status().mounts(0).recursive_read_only());
}

TEST(Mounts, OptionsThatTakeAwayAreHonouredAndOthersRefused) {
  const Pod pod;
  const std::string host = HostDir("options");
  WriteFile(host + "/program", "#!/bin/sh\necho ran\n", 0755);
  cri::ContainerConfig config = Shell(
      "/data/program 2>/dev/null || echo refused; /plain/program; grep -c ' /data .*nosuid,nodev,noexec' "
      "/proc/mounts");
  cri::Mount* mount = AddMount(&config, host, "/data");
  for (const char* option : {"noexec", "nodev", "nosuid"}) mount->add_mount_options(option);
  AddMount(&config, host, "/plain");
  EXPECT_EQ(OutputOf(pod, config), "refused\nran\n1");
  cri::ContainerConfig other = Shell("true");
  AddMount(&other, host, "/data")->add_mount_options("dev");
  const absl::Status refused = CreateAndDrop(pod, other);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("'dev'"));
}

TEST(Mounts, RecursiveReadOnlyNeedsReadonlyAndPrivate) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  cri::ContainerConfig writable = Server();
  AddMount(&writable, HostDir("rro"), "/data")->set_recursive_read_only(true);
  EXPECT_FALSE(CreateAndDrop(pod, writable).ok());
  cri::ContainerConfig slave = Server();
  cri::Mount* mount = AddMount(&slave, HostDir("rro"), "/data");
  mount->set_recursive_read_only(true);
  mount->set_readonly(true);
  mount->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_FALSE(CreateAndDrop(pod, slave).ok());
}

TEST(Mounts, NothingOfAContainerIsMountedOnTheHostAfterRemove) {
  const Pod pod;
  const std::vector<std::string> before = MountPoints();
  {
    cri::ContainerConfig config = Server();
    AddMount(&config, HostDir("gone"), "/data");
    const Container container = Container::Run(pod, config);
  }
  EXPECT_EQ(MountPoints(), before);
}

TEST(Mounts, KubeletsHostsFileWinsOverOurs) {
  const Pod pod;
  const std::string host = HostDir("hosts");
  WriteFile(host + "/hosts", "127.0.0.1 chosen-by-kubelet\n");
  cri::ContainerConfig config = Shell("cat /etc/hosts");
  AddMount(&config, host + "/hosts", "/etc/hosts");
  EXPECT_EQ(OutputOf(pod, config), "127.0.0.1 chosen-by-kubelet");
  if (OwnDaemon()) {
    EXPECT_THAT(OutputOf(pod, Shell("cat /etc/hosts")), HasSubstr("localhost"));
  }
}

}  // namespace
}  // namespace berth::e2e
