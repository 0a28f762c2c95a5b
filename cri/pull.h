// SPDX-License-Identifier: Apache-2.0
// A pull asked for over CRI.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/image.h"
#include "proto/cri/v1/api.pb.h"
#include "runtime/runtime.h"

namespace berth::cri {

// Has no deadline but the caller's patience: cancelled when the caller leaves.
absl::StatusOr<std::string> Pull(image::Images& images, const ::runtime::v1::PullImageRequest& request,
                                 const runtime::Caller& caller);

// kubelet shows the reason RegistryUnavailable only for code UNKNOWN and a message that begins with that
// word: a registry that did not answer is said so. Other errors stay as they are.
absl::Status PullError(const absl::Status& status);

}  // namespace berth::cri
