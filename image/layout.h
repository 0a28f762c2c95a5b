// SPDX-License-Identifier: Apache-2.0
// Where things lie below <root>. All directories are 0700 but layers' fs and containers' rootfs, whose modes
// are the image's.
#pragma once

#include <string>

#include "image/digest.h"

namespace berth::image {

class Layout {
 public:
  explicit Layout(std::string root) : root_(std::move(root)) {}
  const std::string& root() const { return root_; }

  std::string blobs() const { return root_ + "/blobs/sha256"; }
  std::string blob(const std::string& digest) const { return blobs() + "/" + HexOf(digest); }
  std::string layers() const { return root_ + "/layers"; }
  std::string layer(const std::string& diff_id) const { return layers() + "/" + HexOf(diff_id); }
  std::string layer_record(const std::string& diff_id) const { return layer(diff_id) + "/layer.json"; }
  // One file per image, the truth of which the database is an index (rule 10).
  std::string images() const { return root_ + "/images"; }
  std::string image_record(const std::string& id) const { return images() + "/" + HexOf(id) + ".json"; }
  std::string containers() const { return root_ + "/containers"; }
  std::string container(const std::string& id) const { return containers() + "/" + id; }
  // Half-made things; whatever is here at start is of a crashed run.
  std::string work() const { return root_ + "/image-work"; }
  // Renamed here first, deleted after: a half-deleted layer is never mistaken for one.
  std::string trash() const { return root_ + "/image-trash"; }
  std::string quarantine() const { return root_ + "/image-quarantine"; }

 private:
  std::string root_;
};

}  // namespace berth::image
