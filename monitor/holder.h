// SPDX-License-Identifier: Apache-2.0
// Starts the PID holder (holder_program.cc) in a new PID namespace and pins the namespace.
#pragma once

#include "base/process.h"
#include "base/result.h"
#include "monitor/messages.h"

namespace berth::monitor {

// `program`: berth-holder. The child is ours to reap. On failure nothing is left.
base::Result<base::Child> StartHolder(const std::string& program, const HolderRequest& request);

// Bind-mounts a namespace file onto `target`, made if missing. The directory becomes a private mount first,
// so that a pin does not propagate into other mount namespaces, where it would hold the namespace for ever.
base::Result<void> PinNamespace(const std::string& ns_file, const std::string& target);
base::Result<void> MakePrivateMount(const std::string& dir);

}  // namespace berth::monitor
