// SPDX-License-Identifier: Apache-2.0
// System call filters as the `linux.seccomp` object of the OCI specification. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "absl/status/statusor.h"

namespace berth::runtime::security {

// What a filter depends on besides itself.
struct SeccompContext {
  std::string architecture;            // "amd64", "arm64"
  std::set<std::string> capabilities;  // the container's bounding set, "CAP_…"
};

// RuntimeDefault: our own profile (seccomp_table.cc).
nlohmann::json DefaultSeccompProfile(const SeccompContext& context);

// Localhost: a profile file's JSON, checked strictly and brought into the specification's form. Docker's
// additions are evaluated, not dropped: `archMap`, and `includes`/`excludes` by capabilities, architectures
// and kernel version. INVALID_ARGUMENT names what is wrong or what cannot be honoured (a user-notification
// listener, a field that we do not know).
absl::StatusOr<nlohmann::json> ConvertSeccompProfile(const nlohmann::json& profile,
                                                     const SeccompContext& context);

// SCMP_ARCH_… of the native architecture and of the 32-bit one that its kernel also runs; empty for one we do
// not know.
std::vector<std::string> SeccompArchitectures(const std::string& architecture);

}  // namespace berth::runtime::security
