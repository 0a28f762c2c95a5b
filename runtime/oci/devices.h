// SPDX-License-Identifier: Apache-2.0
// What BuildSpec cannot look at itself: devices and sources of mounts on the host. Thread safe, changes
// nothing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/oci/spec.h"

namespace berth::runtime::oci {

// The devices of a request: host_path may be a device, a link to one, or a directory (all devices below it,
// at the same places below container_path). Privileged: every device of the host's /dev first.
// INVALID_ARGUMENT names what is missing, no device, or has permissions other than of r, w, m.
// `host_devices` false: a privileged container gets only what it names.
absl::StatusOr<std::vector<SpecInput::ResolvedDevice>> ResolveDevices(const ContainerConfig& container,
                                                                      bool host_devices = true);

// Devices below `dir` of the host that a privileged container gets: without those that every container has
// anyway and without what belongs to a namespace (pts, shm, mqueue). `dir` is /dev but in tests.
absl::StatusOr<std::vector<SpecInput::ResolvedDevice>> HostDevices(const std::string& dir = "/dev");

// The sources of the request's mounts exist, and propagation is possible: BIDIRECTIONAL needs a shared mount
// under the source, HOST_TO_CONTAINER a shared or slave one. INVALID_ARGUMENT names the path and the remedy.
// `at` (may be empty) is told each path before it is looked at: one on a volume that hangs is the last.
absl::Status CheckMountSources(const ContainerConfig& container,
                               const std::function<void(const std::string& path)>& at = {});

}  // namespace berth::runtime::oci
