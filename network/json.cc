// SPDX-License-Identifier: Apache-2.0
#include "network/json.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace berth::network {
namespace {

// The deepest nesting of brackets outside of strings, without building anything.
int Depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

// Line and column of a byte, as an editor counts them.
std::string Place(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
  return absl::StrCat("line ", line, ", column ", std::max<std::size_t>(column, 1));
}

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text) {
  if (text.size() > kMaxJsonBytes) return absl::InvalidArgumentError("longer than 1 MiB");
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return absl::InvalidArgumentError("empty");
  if (Depth(text) > kMaxJsonDepth) {
    return absl::InvalidArgumentError(absl::StrCat("nested deeper than ", kMaxJsonDepth, " levels"));
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: mistake at ", Place(text, error.byte)));
  } catch (const Json::exception&) {
    return absl::InvalidArgumentError("not JSON: a number is out of range");
  }
}

absl::StatusOr<Json> ParseJsonObject(std::string_view text) {
  auto value = ParseJson(text);
  if (value.ok() && !value->is_object()) return absl::InvalidArgumentError("not a JSON object");
  return value;
}

std::string ToText(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

const Json* FindObject(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at != object.end() && at->is_object() ? &*at : nullptr;
}

const Json* FindArray(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at != object.end() && at->is_array() ? &*at : nullptr;
}

std::string FindString(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

}  // namespace berth::network
