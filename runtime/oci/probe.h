// SPDX-License-Identifier: Apache-2.0
// One OCI runtime tried out: a trivial container is created, started, awaited and deleted through it.
#pragma once

#include <string>

#include "base/clock.h"
#include "runtime/oci/handler.h"

namespace berth::runtime::oci {

// Fills version, usable or why_not, hide_mount and features. Everything made is removed, also what an
// earlier, killed probe in the same work_dir left. Names are derived from work_dir, so that two daemons do
// not meet.
Handler ProbeHandler(const HandlerConfig& config, const ProbeOptions& options, base::Deadline deadline);

// Whether every directory on the way may be passed by everybody, as the root of a user namespace must;
// FAILED_PRECONDITION names the first that may not.
absl::Status CanBeWalkedTo(const std::string& path);

// Does this ELF file name an interpreter? Such a program does not run alone in an empty root.
bool NeedsInterpreter(const std::string& program);

}  // namespace berth::runtime::oci
