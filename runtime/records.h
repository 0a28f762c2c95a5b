// SPDX-License-Identifier: Apache-2.0
// What the database keeps of a pod and of a container: the status that everybody sees, plus what only we
// need. JSON, fields are only added.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/process.h"
#include "runtime/types.h"

namespace berth::runtime {

// How far a pod is. Written before the steps it names are taken (intent before action).
enum class PodStage { kCreating, kReady, kStopping, kStopped, kRemoving };
// How far a container is. kStarting: the monitor was asked; whether it ran is told by its record or the
// monitor.
enum class ContainerStage { kCreating, kCreated, kStarting, kRunning, kExited, kRemoving };

struct PodRecord {
  PodStatus status;
  PodStage stage = PodStage::kCreating;
  std::string boot_id;                          // of the boot that its processes and pins belong to
  base::ProcessIdentity monitor;                // pid -1: none
  std::optional<base::ProcessIdentity> holder;  // of a shared PID namespace
  std::string handler;                          // the one chosen when it was made; never changes under a pod
  // Not part of what is kept: made up for a record that cannot be read, which stays as it is until it is
  // removed.
  bool stub = false;
};

struct ContainerRecord {
  ContainerStatus status;
  ContainerStage stage = ContainerStage::kCreating;
  std::string boot_id;
  base::ProcessIdentity init;  // pid -1: none
  bool stub = false;           // as PodRecord's
  // By number of the mount: what is bound instead of its host path ("" = that); of image volumes.
  std::vector<std::string> mount_sources;
};

std::string Encode(const PodRecord& record);
std::string Encode(const ContainerRecord& record);
absl::StatusOr<PodRecord> DecodePod(const std::string& text);
absl::StatusOr<ContainerRecord> DecodeContainer(const std::string& text);

// Keys that are unique among living records.
std::string PodNameKey(const PodMetadata& metadata);
std::string ContainerNameKey(const std::string& pod_id, const ContainerMetadata& metadata);

}  // namespace berth::runtime
