// SPDX-License-Identifier: Apache-2.0
// What an image says about a directory becomes a volume of its own.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::image {

// Fills `target` (an empty directory of ours) with what the root file system has at `path`, owner and mode of
// the directory itself included; `path` is resolved inside, links too. NOT_FOUND: nothing is there. Owners
// are taken as the host sees them, so that those of a shifted root file system stay right.
absl::Status FillVolume(const std::string& rootfs, const std::string& path, const std::string& target);

// Where `sub_path` of a root file system is on the host, links followed inside of it. INVALID_ARGUMENT for an
// absolute one or one with "..", NOT_FOUND when there is no such thing.
absl::StatusOr<std::string> ResolveInside(const std::string& rootfs, const std::string& sub_path);

}  // namespace berth::image
