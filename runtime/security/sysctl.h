// SPDX-License-Identifier: Apache-2.0
// Sysctls of a pod: checked by grammar and by namespace before anything is written. Pure. They are set by the
// helper that makes the pod's namespaces, not by the OCI runtime.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "runtime/types.h"

namespace berth::runtime::security {

// INVALID_ARGUMENT with a sentence when the name is malformed, belongs to no namespace of its own, or to one
// that the pod shares with the host. The value may hold what a line of /proc/sys can: printable ASCII and
// tabs.
absl::Status ValidateSysctl(const std::string& name, const std::string& value,
                            const NamespaceOptions& options);

// "net.ipv4.ip_forward" → "net/ipv4/ip_forward", below /proc/sys. A name whose first separator is a slash is
// taken the other way round, as sysctl(8) does, so that "net/ipv4/conf/eth0.1/forwarding" can be named. Only
// for validated names.
std::string SysctlPath(const std::string& name);

}  // namespace berth::runtime::security
