// SPDX-License-Identifier: Apache-2.0
// Limits between CRI and cgroupfs. Pure. CRI's rule: 0 or empty = none at creation and "leave it" on update,
// -1 = no limit; ours: nullopt and kUnlimited.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "cgroupfs/resources.h"
#include "proto/cri/v1/api.pb.h"

namespace berth::cri {

// INVALID_ARGUMENT names the field for a number that means nothing (below -1, shares below 0, a unified key
// with '/').
absl::StatusOr<cgroupfs::Resources> ResourcesFrom(const ::runtime::v1::LinuxContainerResources& resources);

// The numbers that were asked for, as kubelet wants them echoed; never derived from the kernel's files.
void EchoResources(const cgroupfs::Resources& resources, std::optional<std::int64_t> oom_score_adj,
                   ::runtime::v1::LinuxContainerResources* out);

}  // namespace berth::cri
