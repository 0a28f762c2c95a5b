// SPDX-License-Identifier: Apache-2.0
// Images from a file: an OCI layout or a docker-archive in a tar (compressed or not). Hostile input: its
// members are laid out by berth-unpack in a directory of their own, read by openat2 below it, and every
// digest is checked.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "image/index.h"
#include "image/layer_store.h"
#include "image/layout.h"

namespace berth::image {

class Importer {
 public:
  Importer(Layout layout, LayerStore* layers, Index* index, std::string unpack_program)
      : layout_(std::move(layout)),
        layers_(layers),
        index_(index),
        unpack_program_(std::move(unpack_program)) {}

  // `name_hint` names what the archive leaves nameless ("" = leave it so).
  absl::StatusOr<std::vector<std::string>> Import(const std::string& path, const std::string& name_hint);

 private:
  struct LayerMember {
    std::string path;    // in the archive
    std::string digest;  // "" = only the diff id is known
    std::uint64_t size = 0;
  };
  struct Found {
    NewImage image;
    std::vector<std::string> diff_ids;
    std::vector<LayerMember> layers;
  };

  absl::Status Lay(const std::string& path, const std::string& directory);
  absl::StatusOr<std::vector<Found>> ReadOci(int directory, const std::string& name_hint);
  absl::Status ReadOciEntry(int directory, const struct Descriptor& entry, const std::string& name_hint,
                            std::vector<Found>& found);
  absl::StatusOr<std::vector<Found>> ReadDocker(int directory, const std::string& name_hint);
  absl::StatusOr<std::string> Commit(int directory, const Found& found);

  const Layout layout_;
  LayerStore* const layers_;
  Index* const index_;
  const std::string unpack_program_;
};

}  // namespace berth::image
