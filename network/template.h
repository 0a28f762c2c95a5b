// SPDX-License-Identifier: Apache-2.0
// The conflist that UpdateRuntimeConfig makes from a template and the node's pod CIDRs. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::network {

// "10.1.0.0/24" or "10.1.0.0/24,fd00:1::/64" as kubelet sends it. INVALID_ARGUMENT names the part that is no
// CIDR.
absl::StatusOr<std::vector<std::string>> ParsePodCidrs(std::string_view text);

// Replaces {{.PodCIDR}} (the first), {{.PodCIDRRanges}} (host-local's `ranges`: [[{"subnet":"…"}],…]) and
// {{.Routes}} (a default route per family: [{"dst":"0.0.0.0/0"},…]); blanks inside the braces do not matter.
// Anything else in double braces, and a result that is no conflist, is INVALID_ARGUMENT.
absl::StatusOr<std::string> RenderTemplate(std::string_view text, const std::vector<std::string>& cidrs);

}  // namespace berth::network
