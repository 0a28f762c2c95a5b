// SPDX-License-Identifier: Apache-2.0
// Volumes that images bring: those that the container's own image declares, and images mounted as volumes.
#include "e2e/cri/harness/volumes.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

cri::ContainerConfig WithVolume(const std::string& script) { return Command({"sh", "-c", script}, "volume"); }

TEST(Volumes, AreFilledFromTheImageWithOwnerAndMode) {
  const Pod pod;
  const Container container = Container::Run(pod, WithVolume("sleep 1000"));
  EXPECT_EQ(container.Sh("stat -c '%u:%g %a' /data/volume /data/volume/seed; cat /data/volume/link"),
            "1000:2001 750\n1000:2001 640\nseed");
  EXPECT_EQ(container.Sh(
                "stat -c '%u:%g %a' /not/in/image; grep -c ' /data/volume \\| /not/in/image ' /proc/mounts"),
            "0:0 755\n2");
}

TEST(Volumes, ArePerContainerAndGoWithIt) {
  BERTH_NEEDS_OWN_DAEMON();
  const Pod pod;
  Container one = Container::Run(pod, WithVolume("echo written > /data/volume/new; sleep 1000"));
  const Container two = Container::Run(pod, WithVolume("sleep 1000"));
  WaitFor("the file", [&] { return one.Sh("cat /data/volume/new 2>/dev/null || true") == "written"; });
  EXPECT_EQ(two.Sh("ls /data/volume"), "link\nseed");
  const std::string place =
      Environment::Get().daemon().root() + "/pods/" + pod.id() + "/containers/" + one.id();
  EXPECT_THAT(ListDir(place + "/volumes"), testing::SizeIs(2));
  one.Remove();
  EXPECT_THAT(ListDir(place), testing::IsEmpty());
}

TEST(Volumes, StayWritableBelowAReadonlyRoot) {
  const Pod pod;
  cri::ContainerConfig config =
      WithVolume("touch /x 2>/dev/null || echo refused; touch /data/volume/x && echo written");
  Security(&config)->set_readonly_rootfs(true);
  EXPECT_EQ(OutputOf(pod, config), "refused\nwritten");
}

TEST(Volumes, GiveWayToMountsOfTheRequestThereAndAbove) {
  const std::string host = Environment::Get().dir() + "/volumes-host";
  MakeDirs(host);
  WriteFile(host + "/mine", "mine\n");
  const Pod pod;
  for (const char* place : {"/data/volume", "/data"}) {
    cri::ContainerConfig config =
        WithVolume(std::string("cat ") + place + "/mine; grep -c ' /data' /proc/mounts");
    cri::Mount* mount = config.add_mounts();
    mount->set_host_path(host);
    mount->set_container_path(place);
    EXPECT_EQ(OutputOf(pod, config), "mine\n1") << place;
  }
  EXPECT_THAT(ListDir(host), testing::ElementsAre("mine"));
}

absl::Status Refused(const Pod& pod, const cri::ContainerConfig& config) {
  return Cri().CreateContainer(CreateRequest(pod, config)).status();
}

TEST(ImageMounts, ShowTheImageAndNobodyWritesToIt) {
  const std::string image = Environment::Get().ImageId("volume");
  const Pod pod;
  cri::ContainerConfig config = Server();
  AddImage(&config, image, "/img");
  const Container container = Container::Run(pod, config);
  EXPECT_EQ(container.Sh("cat /img/data/volume/seed; stat -c '%u:%g' /img/data/volume/seed"),
            "seed\n1000:2001");
  EXPECT_EQ(
      container.Sh(
          "touch /img/x 2>/dev/null || echo refused; touch /img/data/volume/x 2>/dev/null || echo refused"),
      "refused\nrefused");
  EXPECT_EQ(container.Sh("/img/bin/busybox echo runs; grep ' /img ' /proc/mounts | grep -c nosuid,nodev"),
            "runs\n1");
}

TEST(ImageMounts, TheStatusNamesTheImageByIdAndDigest) {
  const std::string image = Environment::Get().ImageId("volume");
  const Pod pod;
  cri::ContainerConfig config = Server();
  AddImage(&config, image, "/img", "data");
  const Container container = Container::Run(pod, config);
  const cri::ContainerStatus status = container.Status();
  ASSERT_EQ(status.mounts_size(), 1);
  EXPECT_EQ(status.mounts(0).image().image(), image);
  EXPECT_EQ(status.mounts(0).image().image_ref(), image);
  EXPECT_EQ(status.mounts(0).image_sub_path(), "data");
  EXPECT_TRUE(status.mounts(0).readonly());
}

TEST(ImageMounts, ASubPathIsADirectoryOrAFileOfTheImage) {
  const std::string image = Environment::Get().ImageId("volume");
  const Pod pod;
  cri::ContainerConfig config = Shell("ls /img; cat /file; cat /linked");
  AddImage(&config, image, "/img", "data/volume");
  AddImage(&config, image, "/file", "data/volume/seed");
  AddImage(&config, image, "/linked", "data/volume/link");
  EXPECT_EQ(OutputOf(pod, config), "link\nseed\nseed\nseed");
}

TEST(ImageMounts, BadSubPathsAreRefusedWithThePrefixThatKubeletCounts) {
  BERTH_NEEDS_OWN_DAEMON();
  const std::string image = Environment::Get().ImageId("volume");
  const Pod pod;
  for (const char* sub_path : {"not/there", "../etc", "/data", "data/../../etc"}) {
    cri::ContainerConfig config = Server();
    AddImage(&config, image, "/img", sub_path);
    EXPECT_THAT(std::string(Refused(pod, config).message()), testing::StartsWith("ImageVolumeMountFailed"))
        << sub_path;
  }
  cri::ContainerConfig missing = Server();
  AddImage(&missing, "registry.test/not-pulled:1", "/img");
  EXPECT_THAT(std::string(Refused(pod, missing).message()), HasSubstr("pull it first"));
  cri::ContainerConfig writable = Server();
  AddImage(&writable, image, "/img")->set_readonly(false);
  EXPECT_EQ(Refused(pod, writable).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ImageMounts, KeepTheirLayersWhenTheImageIsRemovedAndLeaveNothing) {
  BERTH_NEEDS_OWN_DAEMON();
  const std::string image = Environment::Get().ImageId("removable");
  const Pod pod;
  cri::ContainerConfig config = Server();
  AddImage(&config, image, "/img");
  const auto before = ListDir(Environment::Get().daemon().root() + "/containers");
  Container container = Container::Run(pod, config);
  cri::RemoveImageRequest remove;
  remove.mutable_image()->set_image(image);
  Must(Cri().RemoveImage(remove));
  EXPECT_EQ(container.Sh("cat /img/who"), "removable");
  container.Remove();
  EXPECT_EQ(ListDir(Environment::Get().daemon().root() + "/containers"), before);
}

}  // namespace
}  // namespace berth::e2e
