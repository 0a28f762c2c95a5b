// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/fsck/host.h"

namespace berth::runtime::fsck {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kPod(64, 'a'), kOther(64, 'b'), kContainer(64, 'c'), kStray(64, 'd');
constexpr char kBoot[] = "this-boot";

class Judging : public testing::Test {
 protected:
  Judging() {
    ground_.root = "/var/lib/berth";
    ground_.state = "/run/berth";
    ground_.cgroup_root = "/";
    PodRecord pod;
    pod.status.id = kPod;
    pod.status.state = PodState::kReady;
    pod.status.cgroup = "/kubepods/podx";
    pod.stage = PodStage::kReady;
    pod.boot_id = kBoot;
    records_.pods[kPod].record = pod;
    ContainerRecord container;
    container.status.id = kContainer;
    container.status.pod_id = kPod;
    container.stage = ContainerStage::kRunning;
    container.boot_id = kBoot;
    records_.containers[kContainer] = {kPod, container, ""};
    records_.attachments = {kPod};
    for (const char* place : {"/ns", "/ns/net", "/ns/uts", "/ns/ipc", "/ns/pid", "/shm"})
      host_.mounts.push_back({"/run/berth/pods/" + kPod + place, kPod, ""});
    host_.mounts.push_back({"/var/lib/berth/containers/" + kContainer + "/rootfs", "", kContainer});
    for (const char* base : {"/var/lib/berth", "/run/berth"}) {
      host_.directories.push_back({base + ("/pods/" + kPod), kPod, ""});
      host_.directories.push_back({base + ("/pods/" + kPod + "/containers/" + kContainer), kPod, kContainer});
    }
    host_.directories.push_back({"/var/lib/berth/containers/" + kContainer, "", kContainer});
    host_.monitors.push_back({{100, 1, kBoot}, kPod});
    host_.cgroups = {{"/berth-pause/" + kPod, CgroupOf::kHolder, kPod, ""},
                     {"/kubepods/podx", CgroupOf::kPod, "", kPod},
                     {"/kubepods/podx/" + kContainer, CgroupOf::kContainer, kContainer, kPod}};
  }
  std::vector<Finding> All() { return Judge(ground_, records_, host_, after_ ? *after_ : records_, kBoot); }
  std::vector<std::string> Told() {
    std::vector<std::string> lines;
    for (const auto& finding : All())
      lines.push_back(std::string(Name(finding.kind)) + " " + finding.subject + ": " + finding.found);
    return lines;
  }
  Ground ground_;
  Records records_;
  std::optional<Records> after_;
  Inventory host_;
};

TEST_F(Judging, APodWithAllThatIsItsOwnIsClean) { EXPECT_THAT(Told(), IsEmpty()); }

TEST_F(Judging, WhatNoRecordOwnsIsFoundAndTheDirectoriesOfItsContainersAreNotToldTwice) {
  records_ = Records();
  EXPECT_THAT(Told(), testing::UnorderedElementsAre(
                          HasSubstr("process monitor 100"), HasSubstr("cgroup /berth-pause/" + kPod),
                          HasSubstr("cgroup /kubepods/podx: made for pod"),
                          HasSubstr("cgroup /kubepods/podx/" + kContainer), HasSubstr("/ns: "),
                          HasSubstr("/ns/net: "), HasSubstr("/ns/uts: "), HasSubstr("/ns/ipc: "),
                          HasSubstr("/ns/pid: "), HasSubstr("/shm: "), HasSubstr("/rootfs: "),
                          HasSubstr("directory /var/lib/berth/pods/" + kPod + ": "),
                          HasSubstr("directory /run/berth/pods/" + kPod + ": "),
                          HasSubstr("directory /var/lib/berth/containers/" + kContainer)));
}

TEST_F(Judging, AnotherRuntimesCgroupsAreNotOurs) {
  host_.cgroups.push_back({"/kubepods/pody", CgroupOf::kPod, "", ""});
  host_.cgroups.push_back({"/kubepods/pody/" + kStray, CgroupOf::kContainer, kStray, ""});
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(Judging, AContainersCgroupInOneOfKubeletsIsOursWhenADirectoryIsNamedAfterIt) {
  host_.cgroups.push_back({"/kubepods/pody/" + kStray, CgroupOf::kContainer, kStray, ""});
  host_.directories.push_back({"/var/lib/berth/containers/" + kStray, "", kStray});
  EXPECT_THAT(Told(),
              testing::UnorderedElementsAre(HasSubstr("cgroup /kubepods/pody/" + kStray),
                                            HasSubstr("directory /var/lib/berth/containers/" + kStray)));
}

TEST_F(Judging, AnUnreadableRecordIsToldAndStillOwnsWhatIsItsOwn) {
  records_.pods[kPod] = {std::nullopt, "syntax error"};
  EXPECT_THAT(Told(), ElementsAre(HasSubstr("its record cannot be read: syntax error")));
}

TEST_F(Judging, WhatAStoppedPodStillHoldsIsFound) {
  records_.pods[kPod].record->stage = PodStage::kStopped;
  const auto told = Told();
  EXPECT_THAT(told, testing::Contains(HasSubstr("process monitor 100: pod aaaaaaaaaaaa is stopped")));
  EXPECT_THAT(told, testing::Contains(HasSubstr("attachment pod " + kPod)));
  EXPECT_THAT(told, testing::Not(testing::Contains(HasSubstr("directory"))));
}

TEST_F(Judging, WhatIsJustBeingStoppedIsNot) {
  after_ = records_;
  after_->pods[kPod].record->stage = PodStage::kStopped;  // it was ready when the host was looked at
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(Judging, APodThatAppearedDuringTheLookOwnsWhatWasSeenOfIt) {
  after_ = records_;
  records_ = Records();
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(Judging, AReadyPodThatLacksAPinIsTold) {
  std::erase_if(host_.mounts, [](const HostPath& mount) { return mount.path.ends_with("/ns/net"); });
  EXPECT_THAT(Told(), ElementsAre(testing::AllOf(HasSubstr("record pod " + kPod), HasSubstr("/ns/net'"))));
  EXPECT_EQ(All()[0].mend, Mend::kNone) << "no daemon to stop it";
  ground_.hands.stop_pod = [](const std::string&) { return absl::OkStatus(); };
  EXPECT_EQ(All()[0].mend, Mend::kStopPod);
}

TEST_F(Judging, APodWithAUserNamespaceNeedsItsPin) {
  records_.pods[kPod].record->status.config.namespaces.user_namespace = true;
  EXPECT_THAT(Told(), ElementsAre(HasSubstr("/ns/user'")));
  host_.mounts.push_back({"/run/berth/pods/" + kPod + "/ns/user", kPod, ""});
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(Judging, VolumesOfAContainerAreItsOwnAndThoseOfNoneAreFound) {
  const std::string mapped = "/run/berth/pods/" + kPod + "/containers/";
  const std::string images = "/var/lib/berth/containers/";
  host_.mounts.push_back({mapped + kContainer + "/mapped/0", kPod, kContainer});
  host_.mounts.push_back({images + kContainer + "0001/rootfs", "", kContainer});
  host_.directories.push_back({images + kContainer + "0001", "", kContainer});
  EXPECT_THAT(Told(), IsEmpty());
  host_.mounts.push_back({mapped + kStray + "/mapped/0", kPod, kStray});
  host_.mounts.push_back({images + kStray + "0001/rootfs", "", kStray});
  host_.directories.push_back({images + kStray + "0001", "", kStray});
  EXPECT_THAT(Told(), testing::UnorderedElementsAre(HasSubstr("/mapped/0: no record of container"),
                                                    HasSubstr("0001/rootfs: no record of container"),
                                                    HasSubstr("0001: no record of container")));
}

TEST_F(Judging, OfAnotherBootNothingIsExpected) {
  host_ = Inventory();
  EXPECT_FALSE(Told().empty());
  records_.pods[kPod].record->boot_id = records_.containers[kContainer].record->boot_id = "before";
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(Judging, ARunningContainerWithoutProcessMonitorAndExitRecordIsTold) {
  host_.dead_inits = {kContainer};
  EXPECT_THAT(Told(), IsEmpty()) << "its monitor is about to write the record";
  host_.monitors.clear();
  EXPECT_THAT(Told(), ElementsAre(HasSubstr("its process -1 and its monitor are gone")));
  host_.ended = {kContainer};
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(Judging, LayersAndImagesAreComparedBothWays) {
  records_.layers = {"sha256:1"};
  host_.layers = {"sha256:2"};
  host_.quarantined = {"/var/lib/berth/image-quarantine/x"};
  EXPECT_THAT(Told(), testing::UnorderedElementsAre("layer sha256:2: is on disk and not in the database",
                                                    "layer sha256:1: is in the database and not on disk",
                                                    HasSubstr("quarantine")));
}

}  // namespace
}  // namespace berth::runtime::fsck
