// SPDX-License-Identifier: Apache-2.0
// Root file systems of containers: <root>/containers/<id>/{upper,work,rootfs} and rootfs.json, which says
// what they stand on. Thread safe; different containers never wait for each other.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/image.h"
#include "image/index.h"
#include "image/layer_store.h"
#include "image/layout.h"

namespace berth::image {

class RootfsManager {
 public:
  RootfsManager(Layout layout, LayerStore* layers);
  ~RootfsManager();

  // At start: probes overlayfs, learns what exists, clears what a crash left half-made. Starts the thread
  // that measures.
  absl::Status Load();

  absl::StatusOr<Rootfs> Prepare(const std::string& container_id, const StoredImage& image,
                                 const std::optional<IdShift>& shift);
  absl::Status Remove(const std::string& container_id);
  absl::StatusOr<FsUsage> Usage(const std::string& container_id) const;
  bool overlay_works(std::string* why) const;
  // Diff ids that root file systems stand on. A short lock only.
  std::set<std::string> Held() const;

 private:
  struct Entry {
    std::string image_id;
    std::vector<std::string> diff_ids;
    bool copied = false;
    bool measured = false;
    FsUsage usage;
  };
  // Holds the name of a container while its directory changes.
  class Turn;

  absl::StatusOr<Rootfs> Build(const std::string& container_id, const StoredImage& image,
                               const std::optional<IdShift>& shift);
  absl::Status Mount(const std::string& container_id, const StoredImage& image,
                     const std::optional<IdShift>& shift);
  absl::Status Copy(const std::string& container_id, const StoredImage& image);
  absl::Status Discard(const std::string& container_id);
  absl::Status WriteRecord(const std::string& container_id, const Entry& entry);
  void Measure();

  const Layout layout_;
  LayerStore* const layers_;
  absl::Status overlay_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> busy_;
  std::map<std::string, Entry> entries_;
  bool stopping_ = false;
  std::thread measurer_;
};

}  // namespace berth::image
