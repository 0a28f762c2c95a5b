// SPDX-License-Identifier: Apache-2.0
#include "image/json.h"

#include "absl/strings/str_cat.h"

namespace berth::image {
namespace {

using nlohmann::json;
constexpr int kMaxDepth = 64;

absl::Status Wrong(const char* key, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("key '", key, "' ", why));
}

absl::StatusOr<std::string> Text(const json& value, const char* key) {
  if (!value.is_string())
    return Wrong(key, absl::StrCat("holds a ", value.type_name(), " where text belongs"));
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > kMaxText) return Wrong(key, absl::StrCat("holds text of ", text.size(), " bytes"));
  if (text.find('\0') != std::string::npos) return Wrong(key, "holds text with a NUL character");
  return text;
}

}  // namespace

absl::StatusOr<json> ParseObject(std::string_view text, std::string_view what, std::size_t max_size) {
  const absl::string_view shown(what.data(), what.size());
  if (text.size() > max_size)
    return absl::FailedPreconditionError(
        absl::StrCat(shown, " has ", text.size(), " bytes, more than ", max_size));
  bool too_deep = false;
  json value = json::parse(
      text.begin(), text.end(),
      [&](int depth, json::parse_event_t, json&) {
        if (depth > kMaxDepth) too_deep = true;
        return depth <= kMaxDepth;
      },
      /*allow_exceptions=*/false);
  if (too_deep) return absl::FailedPreconditionError(absl::StrCat(shown, " is nested too deep"));
  if (value.is_discarded()) return absl::FailedPreconditionError(absl::StrCat(shown, " is not JSON"));
  if (!value.is_object())
    return absl::FailedPreconditionError(
        absl::StrCat(shown, " is a JSON ", value.type_name(), ", not an object"));
  return value;
}

absl::StatusOr<const json*> Member(const json& object, const char* key, json::value_t type) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return nullptr;
  if (found->type() != type) return Wrong(key, absl::StrCat("holds a ", found->type_name()));
  if (found->size() > kMaxItems) return Wrong(key, absl::StrCat("has ", found->size(), " items"));
  return &*found;
}

absl::Status ReadText(const json& object, const char* key, std::string* value) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  auto text = Text(*found, key);
  if (!text.ok()) return text.status();
  *value = *std::move(text);
  return absl::OkStatus();
}

absl::Status ReadTexts(const json& object, const char* key, std::vector<std::string>* values) {
  auto array = Member(object, key, json::value_t::array);
  if (!array.ok()) return array.status();
  if (*array == nullptr) return absl::OkStatus();
  for (const auto& item : **array) {
    auto text = Text(item, key);
    if (!text.ok()) return text.status();
    values->push_back(*std::move(text));
  }
  return absl::OkStatus();
}

absl::Status ReadTextMap(const json& object, const char* key, std::map<std::string, std::string>* values) {
  auto map = Member(object, key, json::value_t::object);
  if (!map.ok()) return map.status();
  if (*map == nullptr) return absl::OkStatus();
  for (const auto& [name, item] : (*map)->items()) {
    auto text = Text(item, key);
    if (!text.ok()) return text.status();
    if (name.size() > kMaxText) return Wrong(key, "has a name that is too long");
    (*values)[name] = *std::move(text);
  }
  return absl::OkStatus();
}

absl::Status ReadKeys(const json& object, const char* key, std::vector<std::string>* keys) {
  auto map = Member(object, key, json::value_t::object);
  if (!map.ok()) return map.status();
  if (*map == nullptr) return absl::OkStatus();
  for (const auto& item : (*map)->items()) {
    if (item.key().size() > kMaxText || item.key().find('\0') != std::string::npos)
      return Wrong(key, "has a name that is too long or holds NUL");
    keys->push_back(item.key());
  }
  return absl::OkStatus();
}

absl::Status ReadSize(const json& object, const char* key, std::uint64_t* value) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_number_unsigned()) return Wrong(key, "is not a size");
  *value = found->get<std::uint64_t>();
  return absl::OkStatus();
}

}  // namespace berth::image
