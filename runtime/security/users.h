// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "image/image.h"
#include "runtime/types.h"

namespace berth::runtime::security {

// uid, gid, groups and home by CRI's rules from the request, the image's USER and the rootfs' passwd and
// group (opened with RESOLVE_IN_ROOT, capped in size). All digits is a uid in range or INVALID_ARGUMENT;
// run_as_group without a user is INVALID_ARGUMENT; an unknown user name is INVALID_ARGUMENT naming it. Never
// becomes root by overflow.
absl::StatusOr<ResolvedUser> ResolveUser(int rootfs_fd, const ContainerConfig& container,
                                         const image::ImageConfig& image);

}  // namespace berth::runtime::security
