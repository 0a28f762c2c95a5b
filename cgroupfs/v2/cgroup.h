// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs::v2 {

// `path` is valid. With `controllers` Create enables them on the way down; without it is a mere group of
// processes.
std::unique_ptr<Cgroup> MakeCgroup(std::shared_ptr<Kernel> kernel, const std::string& mount,
                                   std::vector<std::string> page_sizes, std::string path, bool controllers);

}  // namespace berth::cgroupfs::v2
