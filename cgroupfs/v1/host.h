// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/kernel.h"
#include "cgroupfs/mounts.h"

namespace berth::cgroupfs::v1 {

// A host whose controllers are on v1. `hide` and `page_sizes` are what Host's functions of these names
// answer.
std::shared_ptr<const Host> MakeHost(std::shared_ptr<Kernel> kernel, Layout layout, std::string hide,
                                     std::vector<std::string> page_sizes);

}  // namespace berth::cgroupfs::v1
