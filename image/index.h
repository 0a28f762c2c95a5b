// SPDX-License-Identifier: Apache-2.0
// Which images there are: an immutable snapshot for readers, one file per image and the database behind it.
// The files are the truth (durable before the row is written, gone before it is deleted), so a lost database
// is rebuilt from them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/image.h"
#include "image/layer_store.h"
#include "image/layout.h"

namespace berth::image {

struct StoredImage : ImageRecord {
  std::vector<std::string> manifests;  // blobs that led here: index, manifest
  std::int64_t updated_ns = 0;         // of two images that claim a name, the later has it
};

struct ImageSnapshot {
  std::map<std::string, std::shared_ptr<const StoredImage>> by_id;
  std::map<std::string, std::string> ids_by_name;
};

// An image whose layers are unpacked, about to become visible.
struct NewImage {
  std::string config_json;
  std::vector<std::string> manifest_jsons;
  std::vector<std::string> names;  // tagged and digested, normalised
};

class Index {
 public:
  Index(Layout layout, store::Store* store, const LayerStore* layers);

  absl::Status Load();
  std::shared_ptr<const ImageSnapshot> snapshot() const;

  // Writes blobs, file and rows; takes the names from whoever has them. Returns the id. The layers must be
  // pinned.
  absl::StatusOr<std::string> Put(const NewImage& image);
  // With all its names. Unknown: success.
  absl::Status Remove(const std::string& id);
  // Blobs that no image names.
  void CollectBlobs();
  std::uint64_t BlobBytes() const;

 private:
  absl::Status WriteImage(const StoredImage& image);
  absl::StatusOr<std::shared_ptr<StoredImage>> ReadImage(const std::string& id) const;
  absl::Status Reconcile(const ImageSnapshot& snapshot);
  void Publish(std::shared_ptr<const ImageSnapshot> snapshot);

  const Layout layout_;
  store::Store* const store_;
  const LayerStore* const layers_;
  std::mutex writer_;  // one change at a time; readers never take it
  mutable std::mutex mutex_;
  std::shared_ptr<const ImageSnapshot> snapshot_ = std::make_shared<ImageSnapshot>();
};

// The rules of Images::Find, over a snapshot. Pure.
std::shared_ptr<const StoredImage> FindImage(const ImageSnapshot& snapshot, const std::string& reference);

}  // namespace berth::image
