// SPDX-License-Identifier: Apache-2.0
// Directories of one hierarchy: what v1 does per controller and v2 once. `dir` is a cgroup's directory.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs {

// Makes mount/a, mount/a/b, … for `path` and appends what was made (for undoing) to `made`. `before_child` is
// called with each directory that is to get a child, the mount first; `after` with each directory on the path
// below the mount, whether made here or not.
using DirHook = std::function<base::Result<void>(const std::string& dir)>;
base::Result<void> MakeDirs(Kernel& kernel, std::string_view mount, std::string_view path,
                            std::vector<std::string>& made, const DirHook& before_child,
                            const DirHook& after);
// Removes what MakeDirs made, last first; errors are not told: the one that led here is.
void UnmakeDirs(Kernel& kernel, const std::vector<std::string>& made);

// Processes of `dir` and below, unsorted. A missing directory has none.
base::Result<std::vector<pid_t>> ProcessesBelow(const Kernel& kernel, const std::string& dir);

// rmdir of `dir` and what is below, bottom up. Missing is success. EBUSY with the pids while processes are
// left; the kernel's EBUSY while the last ones are on their way out is waited for, up to the deadline.
base::Result<void> RemoveDirs(Kernel& kernel, const std::string& dir, base::Deadline deadline);

void SortUnique(std::vector<pid_t>& pids);

}  // namespace berth::cgroupfs
