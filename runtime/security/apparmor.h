// SPDX-License-Identifier: Apache-2.0
// AppArmor: our own profile for RuntimeDefault, and the question whether a profile is loaded.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/clock.h"

namespace berth::runtime::security {

inline constexpr char kApparmorDefault[] = "berth-default";

// The text that apparmor_parser(8) takes. Pure.
std::string ApparmorDefaultProfile();

// Loads (or replaces) it with `parser`. FAILED_PRECONDITION with the parser's words.
absl::Status LoadApparmorDefault(const std::string& parser, base::Deadline deadline);

// Is a profile of this name loaded? By the kernel's list (`list`: apparmor/profiles of securityfs).
absl::Status CheckApparmorProfile(const std::string& name,
                                  const std::string& list = "/sys/kernel/security/apparmor/profiles");

}  // namespace berth::runtime::security
