// SPDX-License-Identifier: Apache-2.0
// `berthd --fsck [--repair]`: the check of `berth fsck` for a host where no daemon runs.
#pragma once

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "runtime/fsck/fsck.h"

namespace berth::daemon {

// Takes the locks of the directories: FAILED_PRECONDITION when a daemon holds them. Without `repair` nothing
// is changed: the database is looked at in a copy.
absl::StatusOr<runtime::fsck::Report> CheckWithoutServing(const Config& config, bool repair);

}  // namespace berth::daemon
