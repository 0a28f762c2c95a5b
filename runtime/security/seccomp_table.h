// SPDX-License-Identifier: Apache-2.0
// The lists behind the default profile. A name that a libseccomp does not know is skipped by the OCI
// runtimes.
#pragma once

#include <span>
#include <string_view>

namespace berth::runtime::security {

using SyscallNames = std::span<const std::string_view>;

// Allowed for everybody, whatever the arguments.
SyscallNames AllowedSyscalls();
// Allowed on one architecture only: "amd64" or "arm64".
SyscallNames AllowedSyscallsOf(std::string_view architecture);

// Refused with EPERM unless the container has one of the capabilities (none: always).
struct GuardedSyscalls {
  std::span<const std::string_view> capabilities;
  SyscallNames names;
};
std::span<const GuardedSyscalls> GuardedSyscallTable();

}  // namespace berth::runtime::security
