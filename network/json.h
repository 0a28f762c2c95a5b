// SPDX-License-Identifier: Apache-2.0
// JSON from files that others write and from plugins: bounded in size and nesting, never an exception.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace berth::network {

// Keeps the order of keys, so that a plugin's configuration reaches it as the operator wrote it.
using Json = nlohmann::ordered_json;

inline constexpr std::size_t kMaxJsonBytes = 1 << 20;
// Copying, comparing and printing a value recurse once per level.
inline constexpr int kMaxJsonDepth = 64;

// INVALID_ARGUMENT with the place of the mistake. The value may be of any kind.
absl::StatusOr<Json> ParseJson(std::string_view text);
// As ParseJson; anything but an object is INVALID_ARGUMENT.
absl::StatusOr<Json> ParseJsonObject(std::string_view text);
// One line; invalid UTF-8 (only from our own strings) becomes U+FFFD.
std::string ToText(const Json& value);

// The member when it is there and of that kind; else nullptr.
const Json* FindObject(const Json& object, const char* key);
const Json* FindArray(const Json& object, const char* key);
// The member's text, "" when absent or no string.
std::string FindString(const Json& object, const char* key);

}  // namespace berth::network
