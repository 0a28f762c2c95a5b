// SPDX-License-Identifier: Apache-2.0
// The mark on cgroups that we made: the extended attribute trusted.berth = "<root>:<pod id>" on the directory
// in each hierarchy (kernfs keeps trusted attributes on v1 and v2; tried on 6.18). Other runtimes and kubelet
// make cgroups of the same names: only what carries it is ever removed as garbage.
#pragma once

#include <string>

#include "cgroupfs/cgroup.h"

namespace berth::runtime::fsck {

// Best effort: without CAP_SYS_ADMIN in the initial user namespace there is no mark, and so no repair.
void Mark(const cgroupfs::Cgroup& cgroup, const std::string& root, const std::string& pod_id);
// The pod id in the mark of a directory of the berth whose root is `root`; "" without.
std::string MarkOf(const std::string& directory, const std::string& root);

}  // namespace berth::runtime::fsck
