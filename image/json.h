// SPDX-License-Identifier: Apache-2.0
// Readers of untrusted JSON: a wrong type is an error that names the key, a missing or null one is empty,
// lengths are capped.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::image {

inline constexpr std::size_t kMaxText = 64 << 10;
inline constexpr std::size_t kMaxItems = 4096;

// An object, or an error that says what `what` is instead. Nesting deeper than 64 is refused.
absl::StatusOr<nlohmann::json> ParseObject(std::string_view text, std::string_view what,
                                           std::size_t max_size);

absl::Status ReadText(const nlohmann::json& object, const char* key, std::string* value);
absl::Status ReadTexts(const nlohmann::json& object, const char* key, std::vector<std::string>* values);
absl::Status ReadTextMap(const nlohmann::json& object, const char* key,
                         std::map<std::string, std::string>* values);
// The keys of an object whose values mean nothing ("volumes": {"/data": {}}).
absl::Status ReadKeys(const nlohmann::json& object, const char* key, std::vector<std::string>* keys);
absl::Status ReadSize(const nlohmann::json& object, const char* key, std::uint64_t* value);
// The member as an array or object; null pointer when missing or null.
absl::StatusOr<const nlohmann::json*> Member(const nlohmann::json& object, const char* key,
                                             nlohmann::json::value_t type);

}  // namespace berth::image
