// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::network {

// A version of the CNI specification, "1.0.0".
struct CniVersion {
  std::array<int, 3> parts{};
  auto operator<=>(const CniVersion&) const = default;
  std::string ToString() const;
};

inline constexpr CniVersion kNewestCni{{1, 1, 0}};
inline constexpr CniVersion kCheckSince{{0, 4, 0}};   // CHECK, and prevResult for DEL
inline constexpr CniVersion kStatusSince{{1, 1, 0}};  // STATUS and GC
inline constexpr CniVersion kChainSince{{0, 3, 0}};   // results with `ips` and plugin lists

// Three numbers with dots; nullopt otherwise.
std::optional<CniVersion> ParseCniVersion(std::string_view text);
// "0.4.0, 1.0.0"
std::string JoinVersions(const std::vector<CniVersion>& versions);

}  // namespace berth::network
