// SPDX-License-Identifier: Apache-2.0
#include "image/rootfs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "image/copy_tree.h"
#include "image/json.h"
#include "image/overlay.h"
#include "image/shifted.h"
#include "image/tree.h"

namespace berth::image {
namespace {

constexpr auto kMeasureEvery = std::chrono::seconds(60);
constexpr auto kMeasureGap =
    std::chrono::milliseconds(20);  // between two containers: the walk is never the node's main work

absl::Status CopyAttributes(struct stat info, int target, const std::string& name,
                            const std::optional<IdShift>& shift) {
  if (shift) {
    if (info.st_uid >= shift->length || info.st_gid >= shift->length) return absl::OkStatus();  // nobody's
    info.st_uid += shift->first;
    info.st_gid += shift->first;
  }
  if (::fchown(target, info.st_uid, info.st_gid) != 0 || ::fchmod(target, info.st_mode & 07777) != 0) {
    return base::SyscallError(errno, absl::StrCat("set owner and mode of '", name, "'"));
  }
  return absl::OkStatus();
}

// A layer that names /a/b but not /a says nothing of /a's mode, yet its directory is what overlayfs shows:
// owner and mode must come from the nearest layer below that names it.
absl::Status RestoreImplied(const Layout& layout, const LayerStore& layers,
                            const std::vector<std::string>& diff_ids, const std::string& rootfs,
                            const std::optional<IdShift>& shift) {
  BERTH_ASSIGN_OR_RETURN(const auto root,
                         base::ToStatusOr(base::OpenAt(AT_FDCWD, rootfs, O_RDONLY | O_DIRECTORY)));
  std::set<std::string> decided;
  for (std::size_t top = diff_ids.size(); top-- > 0;) {
    const auto layer = layers.Find(diff_ids[top]);
    if (layer == nullptr) return absl::InternalError(absl::StrCat("layer '", diff_ids[top], "' vanished"));
    for (const auto& path : layer->implicit) {
      if (!decided.insert(path).second) continue;
      // A layer above that names the directory has the last word.
      bool named_above = false;
      for (std::size_t above = top + 1; above < diff_ids.size() && !named_above; ++above) {
        struct stat info {};
        named_above = ::lstat((layout.layer(diff_ids[above]) + "/fs/" + path).c_str(), &info) == 0;
      }
      if (named_above) continue;
      for (std::size_t below = top; below-- > 0;) {
        auto fs = base::OpenAt(AT_FDCWD, layout.layer(diff_ids[below]) + "/fs", O_PATH | O_DIRECTORY);
        if (!fs) return base::ToStatus(fs.error());
        auto source = base::OpenAt(fs->get(), path, O_RDONLY | O_DIRECTORY, base::Resolve::kNoSymlinks);
        if (!source) continue;
        const auto lower = layers.Find(diff_ids[below]);
        if (lower != nullptr &&
            std::find(lower->implicit.begin(), lower->implicit.end(), path) != lower->implicit.end())
          continue;
        struct stat info {};
        auto target = base::OpenAt(root.get(), path, O_RDONLY | O_DIRECTORY, base::Resolve::kNoSymlinks);
        if (target && ::fstat(source->get(), &info) == 0)
          BERTH_RETURN_IF_ERROR(CopyAttributes(info, target->get(), path, shift));
        break;
      }
    }
  }
  return absl::OkStatus();
}

// The directory is nobody's but ours and, to walk through, of the user namespace's root.
absl::Status GiveTo(const IdShift& shift, const std::string& directory) {
  const std::string upper = directory + "/upper";
  if (::chown(directory.c_str(), 0, shift.first) != 0 || ::chmod(directory.c_str(), 0710) != 0)
    return base::SyscallError(errno, absl::StrCat("give '", directory, "' to the user namespace"));
  if (::chown(upper.c_str(), shift.first, shift.first) != 0)
    return base::SyscallError(errno, absl::StrCat("give '", upper, "' to the user namespace"));
  return absl::OkStatus();
}

// Owner and mode of "/": of the topmost layer that names it.
absl::Status CopyRootAttributes(const Layout& layout, const LayerStore& layers,
                                const std::vector<std::string>& diff_ids, const std::string& directory,
                                const std::optional<IdShift>& shift) {
  for (auto diff_id = diff_ids.rbegin(); diff_id != diff_ids.rend(); ++diff_id) {
    const auto layer = layers.Find(*diff_id);
    if (layer == nullptr || !layer->root_named) continue;
    struct stat info {};
    if (::stat((layout.layer(*diff_id) + "/fs").c_str(), &info) != 0)
      return base::SyscallError(errno, "stat a layer");
    BERTH_ASSIGN_OR_RETURN(const auto fd,
                           base::ToStatusOr(base::OpenAt(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY)));
    return CopyAttributes(info, fd.get(), directory, shift);
  }
  return absl::OkStatus();
}

}  // namespace

class RootfsManager::Turn {
 public:
  Turn(RootfsManager* manager, std::string id) : manager_(manager), id_(std::move(id)) {
    std::unique_lock lock(manager_->mutex_);
    manager_->changed_.wait(lock, [&] { return !manager_->busy_.contains(id_); });
    manager_->busy_.insert(id_);
  }
  ~Turn() {
    const std::lock_guard lock(manager_->mutex_);
    manager_->busy_.erase(id_);
    manager_->changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  RootfsManager* manager_;
  std::string id_;
};

RootfsManager::RootfsManager(Layout layout, LayerStore* layers)
    : layout_(std::move(layout)), layers_(layers) {}

RootfsManager::~RootfsManager() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (measurer_.joinable()) measurer_.join();
}

absl::Status RootfsManager::Load() {
  overlay_ = ProbeOverlay(layout_.work() + "/overlay-probe");
  if (!overlay_.ok())
    base::LogWarning("overlayfs does not work here: root file systems are copied", {{"why", overlay_}});
  BERTH_ASSIGN_OR_RETURN(const auto names, base::ToStatusOr(base::ListDir(layout_.containers())));
  for (const auto& name : names) {
    auto text = base::ReadFile(layout_.container(name) + "/rootfs.json");
    const auto json = text ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
    Entry entry;
    bool sound = base::IsHexId(name) && json.is_object();
    try {
      if (sound) {
        entry.image_id = json.at("image_id").get<std::string>();
        entry.diff_ids = json.at("diff_ids").get<std::vector<std::string>>();
        entry.copied = json.at("copied").get<bool>();
      }
    } catch (const nlohmann::json::exception&) {
      sound = false;
    }
    if (sound) {
      const std::lock_guard lock(mutex_);
      entries_[name] = std::move(entry);
      continue;
    }
    base::LogInfo("removing a half-made root file system", {{"container", name}});
    if (auto discarded = Discard(name); !discarded.ok())
      base::LogWarning("cannot remove it", {{"container", name}, {"why", discarded}});
  }
  measurer_ = std::thread([this] { Measure(); });
  return absl::OkStatus();
}

bool RootfsManager::overlay_works(std::string* why) const {
  if (why != nullptr) *why = overlay_.ok() ? "" : std::string(overlay_.message());
  return overlay_.ok();
}

std::set<std::string> RootfsManager::Held() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> held;
  for (const auto& [id, entry] : entries_) {
    if (!entry.copied) held.insert(entry.diff_ids.begin(), entry.diff_ids.end());
  }
  return held;
}

absl::Status RootfsManager::WriteRecord(const std::string& container_id, const Entry& entry) {
  const nlohmann::json json = {
      {"version", 1}, {"image_id", entry.image_id}, {"diff_ids", entry.diff_ids}, {"copied", entry.copied}};
  return base::ToStatus(
      base::WriteFileDurable(layout_.container(container_id) + "/rootfs.json", json.dump()));
}

absl::StatusOr<Rootfs> RootfsManager::Prepare(const std::string& container_id, const StoredImage& image,
                                              const std::optional<IdShift>& shift) {
  if (!base::IsHexId(container_id))
    return absl::InvalidArgumentError(absl::StrCat("container id '", container_id, "' is not hex digits"));
  const Turn turn(this, container_id);
  BERTH_RETURN_IF_ERROR(Discard(container_id));
  auto rootfs = Build(container_id, image, shift);
  if (!rootfs.ok()) {
    if (auto discarded = Discard(container_id); !discarded.ok()) {
      base::LogWarning("a failed root file system stays until the next start",
                       {{"container", container_id}, {"why", discarded}});
    }
  }
  return rootfs;
}

absl::StatusOr<Rootfs> RootfsManager::Build(const std::string& container_id, const StoredImage& image,
                                            const std::optional<IdShift>& shift) {
  if (shift && !overlay_.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("a root file system for a user namespace needs overlayfs, which does not work here: ",
                     overlay_.message()));
  }
  Entry entry;
  entry.image_id = image.id;
  entry.diff_ids = image.diff_ids;
  entry.copied = !overlay_.ok();
  entry.usage.timestamp_ns = base::RealtimeNs();
  entry.usage.mountpoint = layout_.containers();
  const std::string directory = layout_.container(container_id);
  BERTH_FAULT_POINT("image.rootfs.directory");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory)));
  BERTH_FAULT_POINT("image.rootfs.record");
  BERTH_RETURN_IF_ERROR(WriteRecord(container_id, entry));
  BERTH_FAULT_POINT("image.rootfs.recorded");
  {
    const std::lock_guard lock(mutex_);
    entries_[container_id] = entry;  // holds the layers from here on
  }
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory + "/rootfs", 0755)));
  BERTH_RETURN_IF_ERROR(entry.copied ? Copy(container_id, image) : Mount(container_id, image, shift));
  BERTH_FAULT_POINT("image.rootfs.restore");
  BERTH_RETURN_IF_ERROR(RestoreImplied(layout_, *layers_, image.diff_ids, directory + "/rootfs", shift));
  {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();  // measured at once
  }
  return Rootfs{directory + "/rootfs", entry.copied};
}

absl::Status RootfsManager::Mount(const std::string& container_id, const StoredImage& image,
                                  const std::optional<IdShift>& shift) {
  const std::string directory = layout_.container(container_id);
  BERTH_FAULT_POINT("image.rootfs.upper");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory + "/upper", 0755)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory + "/work")));
  if (shift) BERTH_RETURN_IF_ERROR(GiveTo(*shift, directory));
  BERTH_RETURN_IF_ERROR(CopyRootAttributes(layout_, *layers_, image.diff_ids, directory + "/upper", shift));
  OverlayMount mount;
  mount.base = layout_.layers();
  // An image may list one layer twice (the empty one); overlayfs wants each directory once: the lower one
  // changes nothing.
  std::set<std::string> listed;
  for (auto diff_id = image.diff_ids.rbegin(); diff_id != image.diff_ids.rend(); ++diff_id) {
    if (listed.insert(*diff_id).second) mount.lower.push_back(HexOf(*diff_id) + "/fs");
  }
  if (mount.lower.empty()) {
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory + "/empty", 0755)));
    mount.lower.push_back(absl::StrCat("../containers/", container_id, "/empty"));
  }
  mount.upper = absl::StrCat("../containers/", container_id, "/upper");
  mount.work = absl::StrCat("../containers/", container_id, "/work");
  mount.target = directory + "/rootfs";
  BERTH_FAULT_POINT("image.rootfs.mount");
  if (shift) {
    BERTH_RETURN_IF_ERROR(MountShifted(mount, directory, shift->user_namespace));
  } else {
    BERTH_RETURN_IF_ERROR(MountOverlay(mount));
  }
  BERTH_FAULT_POINT("image.rootfs.mounted");
  return absl::OkStatus();
}

absl::Status RootfsManager::Copy(const std::string& container_id, const StoredImage& image) {
  const std::string rootfs = layout_.container(container_id) + "/rootfs";
  BERTH_RETURN_IF_ERROR(CopyRootAttributes(layout_, *layers_, image.diff_ids, rootfs, std::nullopt));
  for (const auto& diff_id : image.diff_ids) {
    BERTH_FAULT_POINT("image.rootfs.copy");
    BERTH_RETURN_IF_ERROR(
        base::Annotate(ApplyLayer(layout_.layer(diff_id) + "/fs", rootfs), "copy root file system"));
    BERTH_FAULT_POINT("image.rootfs.copied");
  }
  base::LogWarning("root file system copied: overlayfs does not work here", {{"container", container_id}});
  return absl::OkStatus();
}

// Unmounts, forgets, moves to the trash. The caller has the turn, or is alone (Load).
absl::Status RootfsManager::Discard(const std::string& container_id) {
  const std::string directory = layout_.container(container_id);
  BERTH_FAULT_POINT("image.rootfs.unmount");
  BERTH_RETURN_IF_ERROR(UnmountAll(directory + "/rootfs"));
  BERTH_RETURN_IF_ERROR(UnmountShifted(directory));
  BERTH_FAULT_POINT("image.rootfs.unmounted");
  const std::string trash = absl::StrCat(layout_.trash(), "/rootfs-", base::ShortId(container_id), "-",
                                         base::ShortId(base::NewId()));
  if (::rename(directory.c_str(), trash.c_str()) != 0 && errno != ENOENT) {
    return base::SyscallError(errno, absl::StrCat("move '", directory, "' to the trash"));
  }
  BERTH_FAULT_POINT("image.rootfs.trashed");
  const std::lock_guard lock(mutex_);
  entries_.erase(container_id);
  return absl::OkStatus();
}

absl::Status RootfsManager::Remove(const std::string& container_id) {
  if (!base::IsHexId(container_id))
    return absl::InvalidArgumentError(absl::StrCat("container id '", container_id, "' is not hex digits"));
  const Turn turn(this, container_id);
  return Discard(container_id);
}

absl::StatusOr<FsUsage> RootfsManager::Usage(const std::string& container_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(container_id);
  if (found == entries_.end())
    return absl::NotFoundError(absl::StrCat("container '", container_id, "' has no root file system"));
  return found->second.usage;
}

void RootfsManager::Measure() {
  std::unique_lock lock(mutex_);
  auto next_round = std::chrono::steady_clock::now();
  auto unmeasured = [&] {
    for (const auto& [id, entry] : entries_) {
      if (!entry.measured && !busy_.contains(id)) return true;
    }
    return false;
  };
  while (!stopping_) {
    changed_.wait_until(lock, next_round, [&] { return stopping_ || unmeasured(); });
    if (stopping_) return;
    const bool all = std::chrono::steady_clock::now() >= next_round;
    if (all) next_round = std::chrono::steady_clock::now() + kMeasureEvery;
    std::vector<std::pair<std::string, bool>> todo;
    for (const auto& [id, entry] : entries_) {
      if ((all || !entry.measured) && !busy_.contains(id)) todo.emplace_back(id, entry.copied);
    }
    for (const auto& [id, copied] : todo) {
      lock.unlock();
      const std::int64_t now = base::RealtimeNs();
      auto size = MeasureTree(layout_.container(id) + (copied ? "/rootfs" : "/upper"), [this] {
        const std::lock_guard stop(mutex_);
        return stopping_;
      });
      lock.lock();
      if (stopping_) return;
      const auto found = entries_.find(id);
      if (found == entries_.end()) continue;
      found->second.measured = true;
      found->second.usage.timestamp_ns = now;
      found->second.usage.mountpoint = layout_.containers();
      if (size.ok()) {
        found->second.usage.used_bytes = size->bytes;
        found->second.usage.inodes_used = size->inodes;
      }
      changed_.wait_for(lock, kMeasureGap, [&] { return stopping_; });
      if (stopping_) return;
    }
  }
}

}  // namespace berth::image
