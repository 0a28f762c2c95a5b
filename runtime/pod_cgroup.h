// SPDX-License-Identifier: Apache-2.0
// The pod-level cgroup: whose it is, where it lies, and what limits it has when it is ours (design.md,
// "Choices already made").
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cgroupfs/cgroup.h"
#include "runtime/types.h"

namespace berth::runtime {

struct Core;
class Pod;

// The parent that the request names, literally; else <root>/kubepods[/<qos>]/pod<uid> by the sandbox's
// resources.
std::string PodCgroupPath(const PodConfig& config, const std::string& cgroup_root);

// Limits of a pod cgroup of ours: the sandbox's own resources, else the sum over its containers that have not
// ended (a container without a limit lifts the pod's). Pure.
cgroupfs::Resources PodLimits(const PodConfig& pod, const std::vector<cgroupfs::Resources>& containers);

// Makes the cgroup when nobody did, and notes in the record that it is ours (before making it). One that
// another attempt of the pod made is shared, and goes with the last of them.
absl::Status CreatePodCgroup(Core& core, Pod& pod);

// Applies PodLimits to the pod's cgroup if it is ours. Failures are logged: a limit that cannot be lowered
// now is tried at the next change, and the containers' own limits hold all the while.
void UpdatePodLimits(Pod& pod);
// The same with one container's resources replaced or added (`extra` before it is created or raised); fails
// aloud.
absl::Status UpdatePodLimitsWith(Pod& pod, const std::string& container_id, const cgroupfs::Resources& extra);
absl::Status UpdatePodLimitsWith(Pod& pod);

// Removes it if it is ours.
absl::Status RemovePodCgroup(Core& core, const Pod& pod);

}  // namespace berth::runtime
