// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace berth::base {
// 64 lower-case hex digits from getrandom(2): ids of pods and containers.
std::string NewId();
// Is it hex digits only (and not empty)? Ids from requests are checked before they reach a path.
bool IsHexId(std::string_view text);
// The first 12 digits, as people see them.
std::string ShortId(std::string_view id);
}  // namespace berth::base
