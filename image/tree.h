// SPDX-License-Identifier: Apache-2.0
// Whole directory trees that images and containers filled: of any depth, so nothing here recurses, and the
// number of open descriptors has a bound.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::image {

// Deletes `path` with all below it, never following a link, never crossing into another file system
// (FAILED_PRECONDITION-like errors name the mount). Directories are first moved up to the top, so depth does
// not matter. Missing: success.
absl::Status RemoveDeepTree(const std::string& path);

struct TreeSize {
  std::uint64_t bytes = 0;  // allocated blocks; a file with several names counts once
  std::uint64_t inodes = 0;
};
// Walks `path`; directories deeper than 256 are not looked into. Stops early with CANCELLED when `stop` says
// so.
absl::StatusOr<TreeSize> MeasureTree(const std::string& path, const std::function<bool()>& stop);

}  // namespace berth::image
