// SPDX-License-Identifier: Apache-2.0
// Hosts that can less (made so by fault points): without overlayfs root file systems are copied and look the
// same; before Linux 6.7 many layers are stacked through names of descriptors. Needs root.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>

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
using testing::TempDir;
using testing::TestImage;

// Read at the first fault point that is passed. The first and the second probe fail.
[[maybe_unused]] const int kFaults = ::setenv(
    "BERTH_FAULT", "image.overlay.probe:fail:1,image.overlay.probe:fail:2,image.overlay.config:fail", 1);

TEST(CopiedRootfs, LooksLikeTheLayersStackedByOverlayfs) {
#ifndef BERTH_FAULTS
  GTEST_SKIP() << "needs a build with fault points";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces, owners";
  const TempDir dir;
  const Layout layout(dir.path() + "/root");
  FakeStore store;
  auto images = Images::Open({layout.root(), "", BERTH_UNPACK, &store});
  ASSERT_TRUE(images.ok()) << images.status();
  std::string why;
  EXPECT_FALSE((*images)->overlay_works(&why));
  EXPECT_NE(why, "");
  const TestImage image = MakeImage({
      {{.name = "./", .type = '5', .mode = 0711},
       {.name = "tmp/", .type = '5', .mode = 01777},
       {.name = "etc/", .type = '5', .mode = 0755, .uid = 3},
       {.name = "etc/kept",
        .content = "kept",
        .mode = 04755,
        .uid = 4,
        .gid = 5,
        .mtime = 99,
        .pax = {{"SCHILY.xattr.user.note", "hi"}}},
       {.name = "etc/alias", .type = '1', .link = "etc/kept"},
       {.name = "etc/gone/", .type = '5', .mode = 0755},
       {.name = "etc/gone/inside", .content = "x"},
       {.name = "opt/", .type = '5', .mode = 0755},
       {.name = "opt/hidden", .content = "hidden"},
       {.name = "swap", .content = "file"},
       {.name = "link", .type = '2', .link = "/etc"}},
      {{.name = "etc/.wh.gone"},
       {.name = "opt/", .type = '5', .mode = 0750},
       {.name = "opt/.wh..wh..opq"},
       {.name = "opt/new", .content = "new"},
       {.name = "tmp/implied", .content = "x"},
       {.name = "swap/", .type = '5', .mode = 0755},
       {.name = "link/", .type = '5', .mode = 0755},
       {.name = "link/file", .content = "not in etc"}},
  });
  const auto ids = (*images)->Import(dir.Write("a.tar", DockerArchive(image, {"x"})), "");
  ASSERT_TRUE(ids.ok()) << ids.status();
  const std::string container = base::NewId();
  const auto rootfs = (*images)->PrepareRootfs(container, image.id());
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  EXPECT_TRUE(rootfs->copied);
  auto stat = [&](const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::lstat((rootfs->path + path).c_str(), &info), 0) << path;
    return info;
  };
  EXPECT_EQ(stat("").st_mode & 07777, 0711u);
  EXPECT_EQ(stat("/tmp").st_mode & 07777, 01777u);
  EXPECT_EQ(stat("/etc").st_uid, 3u);
  EXPECT_EQ(stat("/etc/kept").st_mode & 07777, 04755u);
  EXPECT_EQ(stat("/etc/kept").st_uid, 4u);
  EXPECT_EQ(stat("/etc/kept").st_mtime, 99);
  EXPECT_EQ(stat("/etc/kept").st_ino, stat("/etc/alias").st_ino);
  char note[8];
  EXPECT_EQ(::lgetxattr((rootfs->path + "/etc/kept").c_str(), "user.note", note, sizeof note), 2);
  EXPECT_EQ(::lgetxattr((rootfs->path + "/opt").c_str(), "trusted.overlay.opaque", note, sizeof note), -1);
  EXPECT_FALSE(base::Exists(rootfs->path + "/etc/gone"));
  EXPECT_FALSE(base::Exists(rootfs->path + "/opt/hidden"));
  EXPECT_EQ(*base::ReadFile(rootfs->path + "/opt/new"), "new");
  EXPECT_EQ(stat("/opt").st_mode & 07777, 0750u);
  EXPECT_TRUE(S_ISDIR(stat("/swap").st_mode));
  EXPECT_TRUE(S_ISDIR(stat("/link").st_mode));
  EXPECT_FALSE(base::Exists(rootfs->path + "/etc/file"));

  // Nothing of the image is needed any more: its layers may go, the copy stays; also over a restart.
  ASSERT_TRUE((*images)->Remove("x").ok());
  images->reset();
  auto again = Images::Open({layout.root(), "", BERTH_UNPACK, &store});
  ASSERT_TRUE(again.ok()) << again.status();
  again->reset();
  EXPECT_EQ(*base::ReadFile(rootfs->path + "/etc/kept"), "kept");
}

TEST(ManyLayers, AreStackedByDescriptorsWhereTheKernelKnowsNothingBetter) {
#ifndef BERTH_FAULTS
  GTEST_SKIP() << "needs a build with fault points";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  const TempDir dir;
  OverlayMount mount{dir.path(), {}, "upper", "work", dir.path() + "/rootfs"};
  for (int i = 0; i < 150; ++i) {
    const std::string name = std::string(60, 'l') + std::to_string(i);
    ASSERT_TRUE(base::MakeDirs(dir.path() + "/" + name).ok());
    dir.Write(name + "/top", std::to_string(i));
    dir.Write(name + "/file" + std::to_string(i), "x");
    mount.lower.push_back(name);
  }
  for (const char* name : {"upper", "work", "rootfs"})
    ASSERT_TRUE(base::MakeDirs(dir.path() + "/" + name).ok());
  const absl::Status mounted = MountOverlay(mount);
  ASSERT_TRUE(mounted.ok()) << mounted;
  EXPECT_EQ(*base::ReadFile(mount.target + "/top"), "0");
  EXPECT_TRUE(base::Exists(mount.target + "/file149"));
  EXPECT_TRUE(UnmountAll(mount.target).ok());
  EXPECT_TRUE(UnmountAll(mount.target).ok()) << "nothing mounted is success";
}

}  // namespace
}  // namespace berth::image
