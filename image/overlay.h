// SPDX-License-Identifier: Apache-2.0
// Mounting overlayfs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace berth::image {

struct OverlayMount {
  std::string base;  // directory that the other paths are relative to; short paths keep the options in a page
  std::vector<std::string> lower;  // topmost first, at least one
  std::string upper, work;
  std::string target;  // absolute
};

// Stacks up to 500 layers: mount(2) takes one page of options; what is longer goes through fsconfig's
// lowerdir+ (Linux 6.7), or, before that, through names of descriptors (/proc/self/fd/N).
absl::Status MountOverlay(const OverlayMount& mount);

// Detaches all that is mounted on `path` itself. Nothing mounted, or no such path: success.
absl::Status UnmountAll(const std::string& path);

// Tries overlayfs in `directory` (made and removed): OK, or why it does not work.
absl::Status ProbeOverlay(const std::string& directory);

}  // namespace berth::image
