// SPDX-License-Identifier: Apache-2.0
// Pods with a user namespace (hostUsers: false): what they can be, whose their files are.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "image/image.h"
#include "monitor/client.h"
#include "runtime/core.h"
#include "runtime/oci/handler.h"
#include "runtime/types.h"

namespace berth::runtime {

// OK without one. FAILED_PRECONDITION with the probe's words when the handler cannot make one here: never a
// pod without a user namespace that was asked for one. INVALID_ARGUMENT for what the kernel never does.
absl::Status CheckUserNamespace(const PodConfig& config, const oci::Handler& handler);

// The map of the pod's ids; nullopt without a user namespace.
std::optional<monitor::UserMap> UserMapOf(const PodConfig& config);
std::optional<image::IdShift> ShiftOf(const PodConfig& config, const PodPlaces& places);

// A file or directory of the pod that its root shall own.
absl::Status GiveToPod(const PodConfig& config, const std::string& path);

// Every mount's mapping is none or the pod's own: INVALID_ARGUMENT names the mount.
absl::Status CheckMountMappings(const PodConfig& pod, const ContainerConfig& container);

// The host's directories as a container of such a pod sees them: idmapped mounts below <state>/mapped, made
// right before the OCI runtime clones them and taken away right after, so that no volume stays in use on the
// node for a container that has ended. FAILED_PRECONDITION names a file system that cannot do it.
absl::Status MountMapped(const PodPlaces& pod, const ContainerPlaces& places, const ContainerConfig& config);
void UnmountMapped(const ContainerPlaces& places);
// Where MountMapped puts mount number `index` of the request; "" when it needs no mapping.
std::string MappedSource(const ContainerPlaces& places, const ContainerConfig& config, std::size_t index);

}  // namespace berth::runtime
