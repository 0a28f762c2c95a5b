// SPDX-License-Identifier: Apache-2.0
// Dying at each step, with the real database: what is left must open, be complete or absent, and the same
// work must succeed again. Needs root and a build with fault points.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "base/process.h"
#include "image/image.h"
#include "image/layout.h"
#include "image/overlay.h"
#include "image/test_archive.h"
#include "store/store.h"

namespace berth::image {
namespace {

using testing::TempDir;
using testing::TestImage;

constexpr char kContainer[] = "abcdef0123456789";

TestImage TheImage() {
  return testing::MakeImage(
      {{{.name = "etc/", .type = '5', .mode = 0755}, {.name = "etc/file", .content = "one"}},
       {{.name = "etc/more", .content = "two"}}});
}

struct Opened {
  std::unique_ptr<store::Store> store;
  std::unique_ptr<Images> images;
};

absl::StatusOr<Opened> OpenAll(const std::string& root) {
  (void)base::MakeDirs(root);
  auto store = store::Store::Open(root + "/berth.db");
  if (!store.ok()) return store.status();
  auto images = Images::Open({root, "", BERTH_UNPACK, store->get()});
  if (!images.ok()) return images.status();
  return Opened{*std::move(store), *std::move(images)};
}

// The collector works on its own thread, in its own time.
bool CollectedAll(const Layout& layout) {
  const auto deadline = base::Deadline::After(50 * base::kSecondNs);
  while (!(base::ListDir(layout.layers())->empty() && base::ListDir(layout.trash())->empty())) {
    if (deadline.Passed()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// What a daemon does in its life; run in a child that dies on the way.
absl::Status Live(const std::string& dir, bool remove) {
  auto opened = OpenAll(dir + "/root");
  if (!opened.ok()) return opened.status();
  auto& images = *opened->images;
  auto ids = images.Import(dir + "/image.tar", "");
  if (!ids.ok()) return ids.status();
  auto rootfs = images.PrepareRootfs(kContainer, ids->front());
  if (!rootfs.ok()) return rootfs.status();
  if (!remove) return absl::OkStatus();
  if (auto removed = images.RemoveRootfs(kContainer); !removed.ok()) return removed;
  if (auto removed = images.Remove(ids->front()); !removed.ok()) return removed;
  if (!CollectedAll(Layout(dir + "/root"))) return absl::DeadlineExceededError("nothing is collected");
  return absl::OkStatus();
}

TEST(CrashChild, LivesUntilItsFaultPoint) {
  const char* dir = std::getenv("BERTH_TEST_CRASH_DIR");
  if (dir == nullptr) GTEST_SKIP() << "only for the test below";
  const absl::Status status = Live(dir, true);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Crash, AtAnyStepLeavesACompleteImageOrNone) {
#ifndef BERTH_FAULTS
  GTEST_SKIP() << "needs a build with fault points";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces, mounts";
  char self[4096] = {};
  ASSERT_GT(::readlink("/proc/self/exe", self, sizeof self - 1), 0);
  for (const std::string point :
       {"unpack.entry", "unpack.sync", "image.import.laid", "image.layer.unpacked", "image.layer.described",
        "image.layer.renamed", "image.blob.written", "image.record.written", "image.record.stored",
        "image.rootfs.recorded", "image.rootfs.mounted", "image.rootfs.unmounted", "image.rootfs.trashed",
        "image.remove.unlinked", "image.layer.trashed", "image.trash.removing"}) {
    SCOPED_TRACE(point);
    const TempDir dir;
    const Layout layout(dir.path() + "/root");
    dir.Write("image.tar", testing::DockerArchive(TheImage(), {"app:1"}));
    base::SpawnOptions spawn;
    spawn.argv = {self, "--gtest_filter=CrashChild.*", "--gtest_brief=1"};
    spawn.env = {"BERTH_FAULT=" + point + ":abort", "BERTH_TEST_CRASH_DIR=" + dir.path(),
                 "ASAN_OPTIONS=detect_leaks=0"};
    const auto ended = base::RunCommand(spawn, "", base::Deadline::After(60 * base::kSecondNs));
    ASSERT_TRUE(ended.ok());
    EXPECT_NE(ended->status.ShellCode(), 0) << "the point was not passed: " << ended->out;

    auto opened = OpenAll(layout.root());
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(base::ListDir(layout.work())->size(), 0u) << "half-made things are swept at the start";
    EXPECT_EQ(base::ListDir(layout.quarantine())->size(), 0u) << "a crash damages nothing";
    const auto rows = opened->store->Images();
    EXPECT_EQ(rows->size(), opened->images->List().size());
    if (auto image = opened->images->Find("app:1"); image != nullptr) {
      for (const auto& diff_id : image->diff_ids) EXPECT_TRUE(base::Exists(layout.layer(diff_id) + "/fs"));
    }
    // And the next attempt works, container name and all.
    const auto ids = opened->images->Import(dir.path() + "/image.tar", "");
    ASSERT_TRUE(ids.ok()) << ids.status();
    const auto rootfs = opened->images->PrepareRootfs(kContainer, ids->front());
    ASSERT_TRUE(rootfs.ok()) << rootfs.status();
    EXPECT_EQ(*base::ReadFile(rootfs->path + "/etc/file"), "one");
    EXPECT_EQ(*base::ReadFile(rootfs->path + "/etc/more"), "two");
    EXPECT_TRUE(opened->images->RemoveRootfs(kContainer).ok());
    EXPECT_TRUE(opened->images->Remove("app:1").ok());
    EXPECT_TRUE(CollectedAll(layout));
    EXPECT_EQ(opened->store->Layers()->size(), 0u);
  }
}

}  // namespace
}  // namespace berth::image
