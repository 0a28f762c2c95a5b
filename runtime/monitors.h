// SPDX-License-Identifier: Apache-2.0
// Steps around monitors that several parts of a pod's life share.
#pragma once

#include "absl/status/statusor.h"
#include "runtime/container.h"
#include "runtime/pod.h"

namespace berth::runtime {

// The monitors' own cgroup (made when missing), program and places.
absl::StatusOr<monitor::LaunchOptions> MonitorLaunchOptions(Core& core, const Pod& pod);
// The pod's monitor, if it lives: by its record, else (a crash came between its launch and the record) by
// looking through the monitors' cgroup.
std::optional<base::ProcessIdentity> FindMonitor(const Core& core, const Pod& pod);
// The cgroup of a pod's PID holder.
std::string HolderCgroup(const Options& options, const std::string& pod_id);

// The exit record is there: takes it, tells the monitor to forget the container, and brings the pod's limits
// up to date.
void AfterExit(Container& container);

// Its monitor is dead: what is left of the container is killed by cgroup, and its end told with what is
// known.
void EndLostContainer(Core& core, Container& container);

}  // namespace berth::runtime
