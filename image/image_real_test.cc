// SPDX-License-Identifier: Apache-2.0
// Images from files to mounted root file systems and back, with the real worker and the real overlayfs. Needs
// root.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "base/ids.h"
#include "image/fake_store.h"
#include "image/image.h"
#include "image/layout.h"
#include "image/overlay.h"
#include "image/test_archive.h"

namespace berth::image {
namespace {

using testing::DockerArchive;
using testing::MakeImage;
using testing::OciArchive;
using testing::OciLayout;
using testing::TarEntry;
using testing::TempDir;
using testing::TestImage;

std::string Read(const std::string& path) {
  auto text = base::ReadFile(path);
  return text ? *text : "<" + text.error().Message() + ">";
}

bool Eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 500; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::size_t Count(const std::string& directory) {
  auto names = base::ListDir(directory);
  return names ? names->size() : 0;
}

class ImagesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts, device nodes, owners";
    Reopen();
  }
  void TearDown() override {
    images_.reset();
    auto names = base::ListDir(layout_.containers());
    if (names) {
      for (const auto& name : *names) (void)UnmountAll(layout_.container(name) + "/rootfs");
    }
  }
  void Reopen() {
    images_.reset();
    auto images = Images::Open({layout_.root(), dir_.path() + "/certs.d", BERTH_UNPACK, &store_});
    ASSERT_TRUE(images.ok()) << images.status();
    images_ = *std::move(images);
  }
  std::string ImportDocker(const TestImage& image, const std::vector<std::string>& tags) {
    auto ids = images_->Import(dir_.Write("archive.tar", DockerArchive(image, tags)), "");
    EXPECT_TRUE(ids.ok()) << ids.status();
    return ids.ok() && ids->size() == 1 ? ids->front() : "";
  }

  TempDir dir_;
  Layout layout_{dir_.path() + "/root"};
  FakeStore store_;
  std::unique_ptr<Images> images_;
  const std::string container_ = base::NewId();
};

TestImage Small(const std::string& content = "one") {
  return MakeImage({{{.name = "./", .type = '5', .mode = 0755},
                     {.name = "etc/", .type = '5', .mode = 0755},
                     {.name = "etc/file", .content = content}}});
}

TEST_F(ImagesTest, ImportsADockerArchiveAndFindsItByEveryName) {
  const TestImage image = Small();
  const std::string id = ImportDocker(image, {"busybox:1.0"});
  EXPECT_EQ(id, image.id());
  for (const std::string& name : {id, id.substr(7), id.substr(0, 19), id.substr(7, 12),
                                  std::string("busybox:1.0"), std::string("docker.io/library/busybox:1.0")}) {
    const auto found = images_->Find(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->id, id);
  }
  EXPECT_EQ(images_->Find("busybox"), nullptr);
  const auto found = images_->Find(id);
  EXPECT_EQ(found->repo_tags, std::vector<std::string>{"docker.io/library/busybox:1.0"});
  EXPECT_GT(found->size_bytes, 0u);
  EXPECT_EQ(found->config.cmd, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(found->config_json, image.config);
  EXPECT_EQ(Count(layout_.work()), 0u);
}

TEST_F(ImagesTest, RootfsShowsUpperLayersOverLowerOnes) {
  const TestImage image = MakeImage({
      {{.name = "./", .type = '5', .mode = 0711, .uid = 7},
       {.name = "tmp/", .type = '5', .mode = 01777},
       {.name = "etc/", .type = '5', .mode = 0755},
       {.name = "etc/kept", .content = "kept"},
       {.name = "etc/gone", .content = "gone"},
       {.name = "opt/", .type = '5', .mode = 0755},
       {.name = "opt/hidden", .content = "hidden"}},
      {{.name = "etc/.wh.gone"},
       {.name = "etc/new", .content = "new"},
       {.name = "opt/", .type = '5', .mode = 0750},
       {.name = "opt/.wh..wh..opq"},
       {.name = "tmp/implied", .content = "x"}},
  });
  const std::string id = ImportDocker(image, {"layers"});
  const auto rootfs = images_->PrepareRootfs(container_, id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  std::string why;
  if (images_->overlay_works(&why)) {
    EXPECT_FALSE(rootfs->copied);
  }
  EXPECT_EQ(Read(rootfs->path + "/etc/kept"), "kept");
  EXPECT_EQ(Read(rootfs->path + "/etc/new"), "new");
  EXPECT_FALSE(base::Exists(rootfs->path + "/etc/gone"));
  EXPECT_FALSE(base::Exists(rootfs->path + "/opt/hidden"));
  struct stat info {};
  ASSERT_EQ(::stat(rootfs->path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0711u);
  EXPECT_EQ(info.st_uid, 7u);
  ASSERT_EQ(::stat((rootfs->path + "/tmp").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777u)
      << "a directory that the upper layer only implies keeps the lower one's mode";
  ASSERT_EQ(::stat((rootfs->path + "/opt").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750u);
}

TEST_F(ImagesTest, ANewRootfsOfTheSameContainerForgetsWhatWasWritten) {
  const std::string id = ImportDocker(Small(), {"small"});
  auto rootfs = images_->PrepareRootfs(container_, id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  ASSERT_TRUE(base::WriteFile(rootfs->path + "/etc/file", "changed").ok());
  ASSERT_EQ(::unlink((rootfs->path + "/etc/file").c_str()), 0);
  rootfs = images_->PrepareRootfs(container_, id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  EXPECT_EQ(Read(rootfs->path + "/etc/file"), "one");
}

TEST_F(ImagesTest, RemovedImagesVanishAtOnceAndTheirLayersOnlyWhenNoContainerStandsOnThem) {
  const TestImage image = Small();
  const std::string id = ImportDocker(image, {"a:1", "b:2"});
  const auto rootfs = images_->PrepareRootfs(container_, id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  ASSERT_TRUE(images_->Remove("a:1").ok());
  EXPECT_EQ(images_->Find(id), nullptr);
  EXPECT_EQ(images_->Find("b:2"), nullptr);
  EXPECT_TRUE(images_->List().empty());
  EXPECT_TRUE(images_->Remove("a:1").ok()) << "unknown is success";
  ASSERT_TRUE(Eventually([&] { return Count(layout_.blobs()) == 0; }));
  EXPECT_EQ(Count(layout_.layers()), 1u);
  EXPECT_EQ(Read(rootfs->path + "/etc/file"), "one");
  Reopen();
  EXPECT_EQ(Count(layout_.layers()), 1u) << "a restart remembers what containers stand on";
  ASSERT_TRUE(images_->RemoveRootfs(container_).ok());
  EXPECT_TRUE(images_->RemoveRootfs(container_).ok()) << "twice is success";
  EXPECT_TRUE(Eventually([&] { return Count(layout_.layers()) == 0 && Count(layout_.trash()) == 0; }));
  EXPECT_EQ(Count(layout_.containers()), 0u);
  EXPECT_TRUE(store_.Layers()->empty());
}

TEST_F(ImagesTest, ALostDatabaseIsRebuiltFromTheDisk) {
  const std::string id = ImportDocker(Small(), {"small:1"});
  store_.Clear();
  Reopen();
  ASSERT_NE(images_->Find("small:1"), nullptr);
  EXPECT_EQ(images_->Find("small:1")->id, id);
  EXPECT_EQ(store_.Images()->size(), 1u);
  EXPECT_EQ(store_.ImageNames()->size(), 1u);
  EXPECT_EQ(store_.Layers()->size(), 1u);
}

TEST_F(ImagesTest, ADamagedConfigQuarantinesItsImageAndNothingElse) {
  const std::string bad = ImportDocker(Small("bad"), {"bad"});
  const std::string good = ImportDocker(Small("good"), {"good"});
  ASSERT_TRUE(base::WriteFile(layout_.blob(bad), "torn").ok());
  Reopen();
  EXPECT_EQ(images_->Find(bad), nullptr);
  EXPECT_NE(images_->Find(good), nullptr);
  EXPECT_EQ(Count(layout_.quarantine()), 1u);
}

TEST_F(ImagesTest, ATagThatMovesLeavesItsOldImageNameless) {
  const std::string first = ImportDocker(Small("first"), {"app:1"});
  const std::string second = ImportDocker(Small("second"), {"app:1"});
  EXPECT_EQ(images_->Find("app:1")->id, second);
  ASSERT_NE(images_->Find(first), nullptr);
  EXPECT_TRUE(images_->Find(first)->repo_tags.empty());
  Reopen();
  EXPECT_EQ(images_->Find("app:1")->id, second);
  EXPECT_TRUE(images_->Find(first)->repo_tags.empty());
}

TEST_F(ImagesTest, ImportsAnOciLayoutWithItsDigest) {
  const TestImage image = Small();
  std::string digest;
  const auto archive = OciArchive(OciLayout(image, {{"org.opencontainers.image.ref.name", "v3"}}, &digest));
  const auto ids = images_->Import(dir_.Write("oci.tar", archive), "registry.example/app");
  ASSERT_TRUE(ids.ok()) << ids.status();
  const auto found = images_->Find("registry.example/app:v3");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->id, image.id());
  EXPECT_EQ(images_->Find("registry.example/app@" + digest), found);
  EXPECT_EQ(images_->Find("registry.example/app:whatever@" + digest), found);
}

TEST_F(ImagesTest, RefusesALayerWithAnotherDigestAndLeavesNothing) {
  auto files = OciLayout(Small(), nullptr);
  for (auto& [name, content] : files) {
    if (content.starts_with("\x1f\x8b"))
      content = testing::Gzip(testing::Tar({{.name = "evil", .content = "evil"}}));
  }
  const auto ids = images_->Import(dir_.Write("oci.tar", OciArchive(files)), "app");
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument) << ids.status();
  EXPECT_TRUE(images_->List().empty());
  EXPECT_EQ(Count(layout_.layers()), 0u);
  EXPECT_EQ(Count(layout_.work()), 0u);
}

TEST_F(ImagesTest, RefusesALayerThatUnpacksToAnotherDiffId) {
  TestImage image = Small();
  image.layers[0] = testing::Tar({{.name = "other", .content = "x"}});
  const auto ids = images_->Import(dir_.Write("a.tar", DockerArchive(image, {"x"})), "");
  ASSERT_FALSE(ids.ok());
  EXPECT_NE(ids.status().message().find("the image config says"), std::string::npos) << ids.status();
  EXPECT_EQ(Count(layout_.layers()), 0u);
}

TEST_F(ImagesTest, ImportDoesNotFollowLinksOutOfTheArchive) {
  const TestImage image = Small();
  std::vector<TarEntry> members = {
      {.name = "config.json", .type = '2', .link = "/etc/hostname"},
      {.name = "manifest.json", .content = R"([{"Config":"config.json","RepoTags":["x"],"Layers":[]}])"}};
  const auto ids = images_->Import(dir_.Write("a.tar", testing::Tar(members)), "");
  ASSERT_FALSE(ids.ok());
  EXPECT_NE(ids.status().message().find("'config.json' is missing"), std::string::npos) << ids.status();
}

TEST_F(ImagesTest, StacksMoreLayersThanAPageOfOptionsHolds) {
  std::vector<std::vector<TarEntry>> layers;
  for (int i = 0; i < 120; ++i)
    layers.push_back({{.name = "f" + std::to_string(i), .content = std::to_string(i)},
                      {.name = "top", .content = std::to_string(i)}});
  const std::string id = ImportDocker(MakeImage(layers), {"deep"});
  const auto rootfs = images_->PrepareRootfs(container_, id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  EXPECT_EQ(Read(rootfs->path + "/top"), "119");
  EXPECT_EQ(Read(rootfs->path + "/f0"), "0");
}

TEST_F(ImagesTest, ARecordThatCannotBeStoredLeavesNoImage) {
  store_.fail_writes = true;
  const auto ids = images_->Import(dir_.Write("a.tar", DockerArchive(Small(), {"x"})), "");
  EXPECT_FALSE(ids.ok());
  EXPECT_TRUE(images_->List().empty());
  EXPECT_EQ(Count(layout_.images()), 0u);
  store_.fail_writes = false;
  EXPECT_NE(ImportDocker(Small(), {"x"}), "");
}

TEST_F(ImagesTest, MeasuresTheWritableLayerInTheBackground) {
  const std::string id = ImportDocker(Small(), {"small"});
  const auto rootfs = images_->PrepareRootfs(container_, id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  EXPECT_TRUE(Eventually([&] { return images_->WritableUsage(container_)->used_bytes > 0; }));
  EXPECT_GT(images_->WritableUsage(container_)->timestamp_ns, 0);
  EXPECT_GT(images_->Usage().used_bytes, 0u);
  EXPECT_EQ(images_->WritableUsage("abcd").status().code(), absl::StatusCode::kNotFound);
}

TEST(FullDisk, IsNamedAndLeavesNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  const TempDir dir;
  const std::string small = dir.path() + "/small";
  ASSERT_TRUE(base::MakeDirs(small).ok());
  ASSERT_EQ(::mount("berth-test-image", small.c_str(), "tmpfs", 0, "size=64m"), 0);
  {
    const Layout layout(small + "/root");
    FakeStore store;
    auto images = Images::Open({layout.root(), "", BERTH_UNPACK, &store});
    ASSERT_TRUE(images.ok()) << images.status();
    const TestImage image = MakeImage(
        {{{.name = "fits", .content = "x"}}, {{.name = "big", .content = std::string(48 << 20, 'x')}}});
    // The archive itself is small: it must be the layer that does not fit.
    const auto archive = OciArchive(OciLayout(image, nullptr));
    const auto ids = (*images)->Import(dir.Write("a.tar", archive), "app");
    EXPECT_EQ(ids.status().code(), absl::StatusCode::kResourceExhausted) << ids.status();
    EXPECT_NE(ids.status().message().find("disk full"), std::string::npos) << ids.status();
    EXPECT_EQ(Count(layout.work()), 0u);
    EXPECT_TRUE(Eventually([&] { return Count(layout.layers()) == 0; }));
    EXPECT_TRUE((*images)->List().empty());
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace berth::image
