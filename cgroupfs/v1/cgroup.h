// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/kernel.h"
#include "cgroupfs/mounts.h"

namespace berth::cgroupfs::v1 {

// `path` is valid. The cgroup lives in all hierarchies of `layout`; the last of them tells whether it exists.
// In the v2 tree of a hybrid host nothing is made, but what an OCI runtime left at this path is seen, killed
// and removed.
std::unique_ptr<Cgroup> MakeCgroup(std::shared_ptr<Kernel> kernel, std::shared_ptr<const Layout> layout,
                                   std::vector<std::string> page_sizes, std::string path);

}  // namespace berth::cgroupfs::v1
