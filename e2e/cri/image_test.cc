// SPDX-License-Identifier: Apache-2.0
// Images by name, tag, digest and id: pulled, listed, removed, refused.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::HasSubstr;

Registry& TheRegistry() { return Environment::Get().registry(); }

absl::StatusOr<std::string> Pull(const std::string& reference) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  auto reply = Cri().PullImage(request, seconds(60));
  if (!reply.ok()) return reply.status();
  return reply->image_ref();
}

cri::ImageStatusResponse Status(const std::string& reference, bool verbose = false) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(reference);
  request.set_verbose(verbose);
  return Must(Cri().ImageStatus(request));
}

void Remove(const std::string& reference) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  Must(Cri().RemoveImage(request));
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

TEST(Images, ThePulledReferenceIsTheIdEverywhere) {
  const std::string id = Environment::Get().ImageId("busybox");
  EXPECT_THAT(id, testing::StartsWith("sha256:"));
  const cri::Image image = Status(Registry::Name("busybox:1")).image();
  EXPECT_EQ(image.id(), id);
  EXPECT_GT(image.size(), 0U);
  EXPECT_THAT(Strings(image.repo_tags()), Contains(Registry::Name("busybox:1")));
  const std::string digest = TheRegistry().ManifestDigest("busybox:1");
  EXPECT_THAT(Strings(image.repo_digests()), Contains(Registry::Name("busybox@" + digest)));
  const cri::ListImagesResponse all = Must(Cri().ListImages({}));
  int found = 0;
  for (const cri::Image& listed : all.images()) found += listed.id() == id;
  EXPECT_EQ(found, 1);
}

TEST(Images, AreFoundByIdTagDigestAndBoth) {
  const std::string id = Environment::Get().ImageId("busybox");
  const std::string digest = TheRegistry().ManifestDigest("busybox:1");
  EXPECT_EQ(Status(id).image().id(), id);
  EXPECT_EQ(Status(Registry::Name("busybox@" + digest)).image().id(), id);
  EXPECT_EQ(Status(id.substr(id.find(':') + 1)).image().id(), id) << "the id without its algorithm";
  if (OwnDaemon()) {
    EXPECT_EQ(Status(Registry::Name("busybox:1@" + digest)).image().id(), id);
  }
}

TEST(Images, ListFiltersByTheExactReference) {
  Environment::Get().ImageId("busybox");
  Environment::Get().ImageId("config");
  cri::ListImagesRequest request;
  request.mutable_filter()->mutable_image()->set_image(Registry::Name("config:1"));
  const cri::ListImagesResponse reply = Must(Cri().ListImages(request));
  if (!OwnDaemon() && reply.images_size() > 1) GTEST_SKIP() << "this peer ignores the filter";
  ASSERT_EQ(reply.images_size(), 1);
  EXPECT_EQ(reply.images(0).id(), Environment::Get().ImageId("config"));
  request.mutable_filter()->mutable_image()->set_image(Registry::Name("nosuch:1"));
  EXPECT_EQ(Must(Cri().ListImages(request)).images_size(), 0);
}

TEST(Images, AnAbsentOneIsNoErrorAndNoImage) { EXPECT_FALSE(Status(Registry::Name("absent:1")).has_image()); }

TEST(Images, ANameWithoutTagMeansLatest) {
  TheRegistry().Push("retagged", "untagged:latest");
  const std::string id = Must(Pull(Registry::Name("untagged")));
  EXPECT_EQ(Status(Registry::Name("untagged:latest")).image().id(), id);
  EXPECT_EQ(Status(Registry::Name("untagged")).image().id(), id);
  Remove(id);
}

TEST(Images, ADigestAloneCanBePulled) {
  TheRegistry().Push("retagged", "bydigest:1");
  const std::string reference = Registry::Name("bydigest@" + TheRegistry().ManifestDigest("bydigest:1"));
  const std::string id = Must(Pull(reference));
  const cri::Image image = Status(reference).image();
  EXPECT_EQ(image.id(), id);
  EXPECT_THAT(Strings(image.repo_digests()), Contains(reference));
  EXPECT_EQ(image.repo_tags_size(), 0);
  Remove(id);
  EXPECT_FALSE(Status(reference).has_image());
}

TEST(Images, TheSameImageUnderTwoNamesHasOneIdAndGoesAtOnce) {
  TheRegistry().Push("removable", "first:1");
  TheRegistry().Push("removable", "second:2");
  const std::string id = Must(Pull(Registry::Name("first:1")));
  EXPECT_EQ(Must(Pull(Registry::Name("second:2"))), id);
  EXPECT_THAT(Strings(Status(id).image().repo_tags()),
              testing::UnorderedElementsAre(Registry::Name("first:1"), Registry::Name("second:2")));
  Remove(Registry::Name("first:1"));
  if (OwnDaemon()) {  // critest asks for it since 2026; older peers untag only
    EXPECT_FALSE(Status(Registry::Name("second:2")).has_image()) << "one tag removed means all of the id";
    EXPECT_FALSE(Status(id).has_image());
  }
  Remove(id);
  Remove(id);
  Remove(Registry::Name("never-there:1"));
}

TEST(Images, ARemovedOneCanBePulledAgainAndUsed) {
  TheRegistry().Push("removable", "again:1");
  Remove(Must(Pull(Registry::Name("again:1"))));
  const std::string id = Must(Pull(Registry::Name("again:1")));
  const Pod pod;
  cri::ContainerConfig config = Faults({});
  config.clear_command();
  config.mutable_image()->set_image(id);
  config.add_args("say");
  config.add_args("hello");
  EXPECT_EQ(OutputOf(pod, config), "hello");
  Remove(id);
}

TEST(Images, ATagThatMovedIsPulledAnew) {
  TheRegistry().Push("retagged", "moving:1");
  const std::string first = Must(Pull(Registry::Name("moving:1")));
  TheRegistry().Push("removable", "moving:1");
  const std::string second = Must(Pull(Registry::Name("moving:1")));
  EXPECT_NE(first, second);
  EXPECT_EQ(Status(Registry::Name("moving:1")).image().id(), second);
  Remove(second);
  Remove(first);
}

TEST(Images, AnIndexGivesTheImageOfThisPlatform) {
  TheRegistry().Push("multi", "multi:1");
  const Pod pod;
  cri::ContainerConfig config = ImageDefault("multi");
  EXPECT_THAT(OutputOf(pod, config), HasSubstr("WHICH=amd64"));
}

TEST(Images, DockersSchema2AndPlainLayersRun) {
  TheRegistry().Push("config", "schema2:1", {"--format", "v2s2"});
  const std::string id = Must(Pull(Registry::Name("schema2:1")));
  const Pod pod;
  cri::ContainerConfig config = ImageDefault("config");
  config.mutable_image()->set_image(id);
  EXPECT_THAT(OutputOf(pod, config), testing::StartsWith("image\n"));
  EXPECT_EQ(OutputOf(pod, Command({"echo", "plain layers"}, "plain")), "plain layers");
}

TEST(Images, TheUserOfTheConfigurationIsToldAsKubeletReadsIt) {
  const auto user = [](const std::string& name) {
    Environment::Get().ImageId(name);
    return Status(Registry::Name(name + ":1")).image();
  };
  EXPECT_EQ(user("user-number").uid().value(), 1002);
  EXPECT_EQ(user("user-number").username(), "");
  EXPECT_EQ(user("user-number-group").uid().value(), 1003);
  EXPECT_FALSE(user("user-name").has_uid());
  EXPECT_EQ(user("user-name").username(), "tester");
  EXPECT_FALSE(user("busybox").has_uid());
  EXPECT_EQ(user("busybox").username(), "");
}

TEST(Images, VerboseStatusCarriesTheConfiguration) {
  Environment::Get().ImageId("config");
  const cri::ImageStatusResponse reply = Status(Registry::Name("config:1"), true);
  ASSERT_TRUE(reply.info().contains("info"));
  EXPECT_THAT(nlohmann::json::parse(reply.info().at("info")).dump(), HasSubstr("FROM_IMAGE=image"));
}

TEST(Images, BadNamesAreRefusedWithASentence) {
  for (const char* name : {"", "registry.test/UPPER/case:1", "registry.test/busybox:bad tag",
                           "registry.test/busybox@sha256:1234", "://"}) {
    const absl::StatusOr<std::string> pulled = Pull(name);
    ASSERT_FALSE(pulled.ok()) << name;
    EXPECT_GT(pulled.status().message().size(), 10U) << name;
    if (OwnDaemon()) {
      EXPECT_EQ(pulled.status().code(), absl::StatusCode::kInvalidArgument)
          << name << ": " << pulled.status();
    }
  }
}

TEST(Images, WhatTheRegistryDoesNotHaveIsNamedInTheError) {
  const absl::StatusOr<std::string> pulled = Pull(Registry::Name("no-such-repository:1"));
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("no-such-repository"));
}

TEST(Images, ARegistryThatDoesNotAnswerIsNamedInTheError) {
  WriteHosts(Environment::Get().certs_dir(), "dead.test", {"http://127.0.0.1:9"});
  const absl::StatusOr<std::string> pulled = Pull("dead.test/busybox:1");
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(std::string(pulled.status().message()),
              testing::AnyOf(HasSubstr("127.0.0.1:9"), HasSubstr("dead.test")));
}

TEST(Images, ADeadMirrorIsPassedOver) {
  WriteHosts(Environment::Get().certs_dir(), "mirrored.test",
             {"http://127.0.0.1:9", "http://" + Registry::Address()});
  TheRegistry().Push("removable", "behind-mirror:1");
  const std::string id = Must(Pull("mirrored.test/behind-mirror:1"));
  EXPECT_THAT(Strings(Status(id).image().repo_tags()), Contains("mirrored.test/behind-mirror:1"));
  Remove(id);
}

TEST(Images, ADamagedLayerIsRefusedAndNothingOfItStays) {
  TheRegistry().Push("damaged", "damaged:1");
  const std::string digest = TheRegistry().LayerDigest("damaged:1", 1);
  TheRegistry().DamageBlob(digest);
  const absl::StatusOr<std::string> pulled = Pull(Registry::Name("damaged:1"));
  ASSERT_FALSE(pulled.ok());
  EXPECT_FALSE(Status(Registry::Name("damaged:1")).has_image());
  if (OwnDaemon()) {
    EXPECT_THAT(std::string(pulled.status().message()), HasSubstr(digest.substr(0, 19)))
        << "the digest that was wanted";
  }
  TheRegistry().DamageBlob(digest);  // the same flip again: whole
  if (!OwnDaemon()) return;          // containerd 1.6 keeps the bad bytes and fails for good
  Remove(Must(Pull(Registry::Name("damaged:1"))));
}

TEST(Images, ManyPullsOfOneImageAtOnceAllSucceed) {
  TheRegistry().Push("removable", "parallel:1");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] { EXPECT_TRUE(Pull(Registry::Name("parallel:1")).ok()); });
  }
  for (std::thread& thread : threads) thread.join();
  Remove(Registry::Name("parallel:1"));
}

TEST(Images, TheFileSystemUsageGrowsWithAPull) {
  const auto used = [] { return Must(Cri().ImageFsInfo({})).image_filesystems(0).used_bytes().value(); };
  if (!OwnDaemon()) GTEST_SKIP() << "a peer may refresh it in intervals";
  TheRegistry().Push("removable", "sized:1");
  const auto before = used();
  const std::string id = Must(Pull(Registry::Name("sized:1")));
  WaitFor(
      "ImageFsInfo to grow", [&] { return used() > before; }, seconds(20));
  Remove(id);
  WaitFor(
      "ImageFsInfo to shrink", [&] { return used() <= before + 65536; }, seconds(20));
}

TEST(Images, OneInUseStaysUsableByItsContainerAfterRemove) {
  TheRegistry().Push("removable", "inuse:1");
  const std::string id = Must(Pull(Registry::Name("inuse:1")));
  const Pod pod;
  cri::ContainerConfig config = Faults({"term", "0"});
  config.clear_command();
  config.mutable_image()->set_image(id);
  const Container container = Container::Run(pod, config);
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(id);
  static_cast<void>(Cri().RemoveImage(request));  // refusing and unlinking are both fine
  container.WaitLine("ready");
  EXPECT_EQ(container.Exec({"/faults", "say", "alive"}).stdout(), "alive\n");
  container.Stop(5);
  static_cast<void>(Cri().RemoveImage(request));
}

}  // namespace
}  // namespace berth::e2e
