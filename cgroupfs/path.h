// SPDX-License-Identifier: Apache-2.0
// Paths of cgroups as kubelet names them: literal, absolute, relative to each controller's mount. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cgroupfs {

// "/" or "/a/b": no empty part, no "." or "..", no control characters, parts of at most 255 bytes. EINVAL
// with a sentence.
base::Result<void> ValidatePath(std::string_view path);
// "/a/b" → {"", "/a", "/a/b"}: what is appended to a mount point on the way down, the root first.
std::vector<std::string> StepsDown(std::string_view path);
// mount + path, without a slash at the end for "/".
std::string DirOf(std::string_view mount, std::string_view path);
// "/a/b" → "/a"; "/a" → "/".
std::string ParentPath(std::string_view path);

}  // namespace berth::cgroupfs
