// SPDX-License-Identifier: Apache-2.0
// A container's bundle: config.json made from its record, in its state directory.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/container.h"

namespace berth::runtime {

// Builds the spec from the record (which must have `user` resolved) and writes it. Called again when
// resources change before start.
absl::Status WriteBundle(Core& core, Container& container, const std::string& rootfs);
absl::StatusOr<nlohmann::json> ReadBundle(const Container& container);
// Where the root file system was mounted, from the bundle.
absl::StatusOr<std::string> BundleRootfs(const Container& container);

// The options that count for a container: its own PID mode and target, the pod's network and IPC.
NamespaceOptions EffectiveNamespaces(const PodConfig& pod, const ContainerConfig& container);

// Where the PID namespace of another container is pinned that this one joins (NamespaceMode::kTarget).
std::string TargetPin(const ContainerPlaces& places);
absl::Status UnpinTarget(const std::string& pin);  // none is success

}  // namespace berth::runtime
