// SPDX-License-Identifier: Apache-2.0
// What berthd wants of the process and the directories it lives in.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace berth::daemon {

// umask 077, SIGPIPE ignored, as many descriptors as the hard limit allows up to 65536 (each pod costs about
// five); containers and helpers keep the limit that berthd was started with.
void PrepareProcess();

// Makes `path` (0711: the root of a user namespace walks through it) or checks what is there: a directory of
// ours that nobody else can write to. What lies in it is trusted: records, sockets, pins.
absl::Status OwnDirectory(const std::string& path);

// Holds <dir>/berthd.lock for as long as the descriptor lives; FAILED_PRECONDITION when another berthd holds
// it for longer than a killed one's last child does (two seconds).
absl::StatusOr<base::UniqueFd> LockDirectory(const std::string& dir);

// A program of the package: beside this very executable, else in /usr/libexec/berth. NOT_FOUND names both
// places.
absl::StatusOr<std::string> FindProgram(const std::string& name);

}  // namespace berth::daemon
