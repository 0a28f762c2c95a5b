// SPDX-License-Identifier: Apache-2.0
// The cage of berth-unpack. A hostile layer that takes the worker over finds: no file system but the target
// directory (mounted nodev, nosuid, noexec and made the root), an empty network, only capabilities about
// files, no new privileges, and a system call filter that knows reading, writing and making files and nothing
// else.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace berth::image::unpack {

// Enters the cage for good. `target_fd`: the directory; afterwards it is "/". Everything the libraries load
// lazily (crypto configuration, locale) must be loaded before. Errors name the step; nothing is skipped
// silently.
base::Result<void> Confine(int target_fd);

}  // namespace berth::image::unpack
