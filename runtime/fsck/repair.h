// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/fsck/fsck.h"

namespace berth::runtime::fsck {

// Mends what can be mended, in the order that makes it work (processes, cgroups, mounts, addresses,
// directories, records), and notes in each finding how that went.
void Repair(const Ground& ground, std::vector<Finding>* findings);

}  // namespace berth::runtime::fsck
