// SPDX-License-Identifier: Apache-2.0
// The facade: wires the pieces and collects garbage.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <condition_variable>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "image/image.h"
#include "image/importer.h"
#include "image/index.h"
#include "image/layer_store.h"
#include "image/overlay.h"
#include "image/puller.h"
#include "image/reference.h"
#include "image/rootfs.h"
#include "image/shifted.h"
#include "image/tree.h"

namespace berth::image {
namespace {

constexpr auto kCollectEvery = std::chrono::minutes(10);

class ImagesImpl : public Images {
 public:
  explicit ImagesImpl(const Options& options)
      : layout_(options.root),
        layers_(layout_, options.store, options.unpack_program),
        index_(layout_, options.store, &layers_),
        rootfs_(layout_, &layers_),
        importer_(layout_, &layers_, &index_, options.unpack_program),
        puller_(options.registry_config, &layers_, &index_) {}

  ~ImagesImpl() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_all();
    }
    if (collector_.joinable()) collector_.join();
  }

  absl::Status Load() {
    for (const std::string& directory :
         {layout_.root(), layout_.blobs(), layout_.layers(), layout_.images(), layout_.containers(),
          layout_.work(), layout_.trash(), layout_.quarantine()}) {
      BERTH_FAULT_POINT("image.directory");
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory)));
      if (directory == layout_.root()) continue;  // not ours alone
      // The root of a user namespace must be able to walk to its root file system, and to nothing else.
      if (::chmod(directory.c_str(), directory == layout_.containers() ? 0711 : 0700) != 0)
        return base::SyscallError(errno, absl::StrCat("chmod '", directory, "'"));
    }
    Sweep();
    BERTH_RETURN_IF_ERROR(base::Annotate(layers_.Load(), "load layers"));
    BERTH_RETURN_IF_ERROR(base::Annotate(index_.Load(), "load images"));
    BERTH_RETURN_IF_ERROR(base::Annotate(rootfs_.Load(), "load root file systems"));
    collector_ = std::thread([this] { CollectLoop(); });
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Pull(const PullRequest& request) override {
    auto id = puller_.Pull(request);
    if (!id.ok()) Wake();  // layers that came before the failure are kept only if somebody uses them
    return id;
  }

  absl::StatusOr<std::vector<std::string>> Import(const std::string& path,
                                                  const std::string& name_hint) override {
    auto ids = importer_.Import(path, name_hint);
    if (!ids.ok()) Wake();
    return ids;
  }

  std::shared_ptr<const ImageRecord> Find(const std::string& reference) const override {
    return FindImage(*index_.snapshot(), reference);
  }

  std::vector<std::shared_ptr<const ImageRecord>> List() const override {
    std::vector<std::shared_ptr<const ImageRecord>> images;
    const auto snapshot = index_.snapshot();
    for (const auto& [id, image] : snapshot->by_id) images.push_back(image);
    return images;
  }

  absl::Status Remove(const std::string& reference) override {
    const auto image = FindImage(*index_.snapshot(), reference);
    if (image == nullptr) return absl::OkStatus();
    BERTH_RETURN_IF_ERROR(index_.Remove(image->id));
    Wake();
    return absl::OkStatus();
  }

  FsUsage Usage() const override {
    const auto layers = layers_.usage();
    FsUsage usage;
    usage.timestamp_ns = base::RealtimeNs();
    usage.mountpoint = layout_.layers();
    usage.used_bytes = layers.bytes + index_.BlobBytes();
    usage.inodes_used = layers.inodes;
    return usage;
  }

  absl::StatusOr<Rootfs> PrepareRootfs(const std::string& container_id, const std::string& image_id,
                                       const std::optional<IdShift>& shift) override {
    const auto image = FindImage(*index_.snapshot(), image_id);
    if (image == nullptr) return absl::NotFoundError(absl::StrCat("image '", image_id, "' is not here"));
    const LayerStore::Pin pin(&layers_, image->diff_ids);
    for (const auto& diff_id : image->diff_ids) {
      if (layers_.Find(diff_id) == nullptr)
        return absl::NotFoundError(absl::StrCat("image '", image_id, "' was just removed"));
    }
    auto rootfs = rootfs_.Prepare(container_id, *image, shift);
    if (!rootfs.ok()) Wake();
    return rootfs;
  }

  absl::Status RemoveRootfs(const std::string& container_id) override {
    BERTH_RETURN_IF_ERROR(rootfs_.Remove(container_id));
    Wake();
    return absl::OkStatus();
  }

  absl::StatusOr<FsUsage> WritableUsage(const std::string& container_id) const override {
    return rootfs_.Usage(container_id);
  }
  bool overlay_works(std::string* why) const override { return rootfs_.overlay_works(why); }

 private:
  // What a crashed run left half-made. Its workers died with it.
  void Sweep() {
    for (const std::string& directory : {layout_.work(), layout_.trash()}) {
      auto names = base::ListDir(directory);
      if (!names) continue;
      for (const auto& name : *names) {
        const std::string path = absl::StrCat(directory, "/", name);
        (void)UnmountAll(path + "/rootfs");          // an overlay probe
        (void)UnmountShifted(path);                  // a shifted root file system
        if (directory == layout_.trash()) continue;  // the collector empties it, in its own time
        if (auto removed = RemoveDeepTree(path); !removed.ok())
          base::LogWarning("left-over cannot be removed", {{"path", path}, {"why", removed}});
      }
    }
  }

  void Wake() {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
    wake_.notify_all();
  }

  void CollectLoop() {
    std::unique_lock lock(mutex_);
    wanted_ = true;
    while (!stopping_) {
      wake_.wait_for(lock, kCollectEvery, [&] { return stopping_ || wanted_; });
      if (stopping_) return;
      wanted_ = false;
      lock.unlock();
      layers_.Collect([&] {
        std::set<std::string> used = rootfs_.Held();
        for (const auto images = index_.snapshot(); const auto& [id, image] : images->by_id)
          used.insert(image->diff_ids.begin(), image->diff_ids.end());
        return used;
      });
      index_.CollectBlobs();
      EmptyTrash();
      lock.lock();
    }
  }

  void EmptyTrash() {
    auto names = base::ListDir(layout_.trash());
    if (!names) return;
    for (const auto& name : *names) {
      const std::string path = absl::StrCat(layout_.trash(), "/", name);
      BERTH_FAULT_POINT("image.trash.removing");
      if (auto removed = RemoveDeepTree(path); !removed.ok())
        base::LogWarning("trash cannot be removed", {{"path", path}, {"why", removed}});
    }
  }

  const Layout layout_;
  LayerStore layers_;
  Index index_;
  RootfsManager rootfs_;
  Importer importer_;
  Puller puller_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread collector_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Images>> Images::Open(Options options) {
  auto images = std::make_unique<ImagesImpl>(options);
  BERTH_RETURN_IF_ERROR(images->Load());
  return images;
}

}  // namespace berth::image
