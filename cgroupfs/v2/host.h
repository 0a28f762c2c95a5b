// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs::v2 {

// A host with cgroup v2 alone, mounted on `mount`; `controllers` are the root's.
std::shared_ptr<const Host> MakeHost(std::shared_ptr<Kernel> kernel, std::string mount,
                                     std::vector<std::string> controllers,
                                     std::vector<std::string> page_sizes);

}  // namespace berth::cgroupfs::v2
