// SPDX-License-Identifier: Apache-2.0
// overlayfs for user namespaces: each lower layer is shown through an idmapped mount, the upper directory
// belongs to the namespace's ids as they are on the host (Linux 5.19).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "image/overlay.h"

namespace berth::image {

// As MountOverlay, with the ids of the lower layers mapped. `directory` (absolute, ours) takes the idmapped
// mounts while overlayfs is being mounted, which keeps clones of its own.
absl::Status MountShifted(OverlayMount mount, const std::string& directory,
                          const std::string& user_namespace);

// What a MountShifted that was killed half-way left mounted in `directory`. Nothing there: success.
absl::Status UnmountShifted(const std::string& directory);

// Tries it in `directory` (made and removed): OK, or why it does not work.
absl::Status ProbeShifted(const std::string& directory, const std::string& user_namespace);

}  // namespace berth::image
