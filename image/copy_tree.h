// SPDX-License-Identifier: Apache-2.0
// Root file systems without overlayfs: the layers copied one over the other.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth::image {

// Applies an unpacked layer (overlayfs' whiteouts and opaque marks) on top of what `target` holds. Owners,
// modes, times, extended attributes and hard links within the layer are kept. Works by descriptors; no link
// in either tree is followed.
absl::Status ApplyLayer(const std::string& layer, const std::string& target);

}  // namespace berth::image
