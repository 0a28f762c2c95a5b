// SPDX-License-Identifier: Apache-2.0
// Reading JSON that others wrote: a missing or null field keeps its default, a wrong type throws nlohmann's
// type_error (caught where the text came in).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace berth::monitor {

template <typename T>
void Read(const nlohmann::json& json, const char* key, T& into) {
  if (const auto at = json.find(key); at != json.end() && !at->is_null()) at->get_to(into);
}

template <typename T>
void Read(const nlohmann::json& json, const char* key, std::optional<T>& into) {
  if (const auto at = json.find(key); at != json.end() && !at->is_null()) into = at->template get<T>();
}

template <typename T>
void Write(nlohmann::json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

// Text that may hold any bytes (a runtime's words, a comm), made fit for JSON: what is not UTF-8 becomes
// U+FFFD.
inline std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// nullopt when it is no JSON object.
inline std::optional<nlohmann::json> ParseObject(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

}  // namespace berth::monitor
