// SPDX-License-Identifier: Apache-2.0
// Pods between protobuf and runtime/types.h. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "cri/convert_common.h"

namespace berth::cri {

// INVALID_ARGUMENT names what is missing or makes no sense.
absl::StatusOr<runtime::PodConfig> PodConfigFrom(const v1::PodSandboxConfig& config);

v1::PodSandbox PodItem(const runtime::PodStatus& pod);
v1::PodSandboxStatus PodStatusMessage(const runtime::PodStatus& pod);

}  // namespace berth::cri
