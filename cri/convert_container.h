// SPDX-License-Identifier: Apache-2.0
// Containers between protobuf and runtime/types.h. Pure.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "cri/convert_common.h"

namespace berth::cri {

// INVALID_ARGUMENT names what is missing or makes no sense. What depends on the host or the image (a path
// that is not there, a capability that we lack) is runtime's to refuse.
absl::StatusOr<runtime::ContainerConfig> ContainerConfigFrom(const v1::ContainerConfig& config);

v1::Container ContainerItem(const runtime::ContainerStatus& container);

// `digest_of`: repo@digest of an image id for image volumes, "" when unknown.
v1::ContainerStatus ContainerStatusMessage(const runtime::ContainerStatus& container,
                                           const std::function<std::string(const std::string&)>& digest_of);

}  // namespace berth::cri
