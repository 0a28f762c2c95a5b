// SPDX-License-Identifier: Apache-2.0
// The files that a pod's containers share: resolv.conf, hosts, hostname, and the tmpfs of /dev/shm.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/core.h"
#include "runtime/types.h"

namespace berth::runtime {

// Pure; INVALID_ARGUMENT for a value with a line break or blank in it.
absl::StatusOr<std::string> ResolvConf(const DnsConfig& dns);
std::string HostsFile(const std::string& hostname, const std::vector<std::string>& ips);

// Writes them all. `hostname` is the effective one. Idempotent.
absl::Status WritePodFiles(const PodPlaces& places, const PodConfig& config, const std::string& hostname,
                           const std::vector<std::string>& ips);

// A tmpfs of its own unless the pod shares the host's IPC namespace. Idempotent.
absl::Status MountShm(const PodPlaces& places, const PodConfig& config, std::uint64_t bytes);
absl::Status UnmountShm(const PodPlaces& places);

}  // namespace berth::runtime
