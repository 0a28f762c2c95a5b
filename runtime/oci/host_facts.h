// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cgroupfs/cgroup.h"
#include "runtime/oci/spec.h"

namespace berth::runtime::oci {

// Looks at /proc, /sys and the cgroup layout once, at start. What cannot be read counts as absent. Thread
// safe.
HostFacts GatherHostFacts(const cgroupfs::Host& cgroups);

// As Go names it: amd64, arm64.
std::string Architecture();

// Whether the kernel knows seccomp filters (CONFIG_SECCOMP_FILTER).
bool KernelHasSeccomp();

// Names of a capability mask as /proc/<pid>/status prints it ("000001fffeffffff"), sorted; bits without a
// name are left out.
std::vector<std::string> CapabilityNames(const std::string& hex_mask);

}  // namespace berth::runtime::oci
