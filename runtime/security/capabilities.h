// SPDX-License-Identifier: Apache-2.0
// Capability sets of a container. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/types.h"

namespace berth::runtime::security {

// All that Linux 6.18 knows, "CAP_…", by number.
const std::vector<std::string>& KnownCapabilities();

// "net_admin", "CAP_NET_ADMIN", "Cap_Net_Admin" → "CAP_NET_ADMIN"; nullopt when the kernel has none of this
// name. "ALL" is none.
std::optional<std::string> ParseCapability(const std::string& text);

struct CapabilitySets {
  std::vector<std::string> bounding;  // also effective and permitted; sorted
  std::vector<std::string> ambient;   // also inheritable; sorted
};

// `host`: what we ourselves have to give (HostFacts.capabilities). Order of the rules: the base is the
// default set, all of `host` with ALL among the added, nothing with ALL among the dropped; then the named
// ones are added, then dropped (drop wins). Privileged: all of `host`, whatever the lists say. Inheritable
// stays empty but for the ambient ones, although CRI's text says that added ones go there too: a non-empty
// inheritable set lets any file that carries inheritable file capabilities hand them to a non-root user
// (CVE-2022-24769). INVALID_ARGUMENT names an unknown capability; FAILED_PRECONDITION one that we do not have
// ourselves.
absl::StatusOr<CapabilitySets> ComputeCapabilities(const ContainerConfig& container,
                                                   const std::vector<std::string>& host);

}  // namespace berth::runtime::security
