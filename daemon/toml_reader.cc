// SPDX-License-Identifier: Apache-2.0
#include "daemon/toml_reader.h"

#include "absl/strings/str_cat.h"

namespace berth::daemon {
namespace {

std::string TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a float";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

}  // namespace

const toml::node* TomlReader::Get(const std::string& key) const {
  read_.insert(key);
  return table_.get(key);
}

void TomlReader::ProblemAt(const toml::node& node, const std::string& text) const {
  problems_->push_back(absl::StrCat(file_, ":", node.source().begin.line, ": ", text));
}

void TomlReader::Problem(const std::string& key, const std::string& text) const {
  const toml::node* node = table_.get(key);
  ProblemAt(node == nullptr ? table_ : *node, text);
}

bool TomlReader::String(const std::string& key, const Check& check, std::string* value) const {
  const toml::node* node = Get(key);
  if (node == nullptr) return false;
  const auto* text = node->as_string();
  if (text == nullptr) {
    ProblemAt(*node, absl::StrCat("'", prefix_, key, "' is ", TypeName(*node), ", but must be a string"));
    return false;
  }
  if (const std::string bad = check(**text); !bad.empty()) {
    ProblemAt(*node, absl::StrCat("'", prefix_, key, "' = \"", **text, "\" ", bad));
    return false;
  }
  *value = **text;
  return true;
}

bool TomlReader::Integer(const std::string& key, int least, int most, int* value) const {
  const toml::node* node = Get(key);
  if (node == nullptr) return false;
  const auto* number = node->as_integer();
  if (number == nullptr) {
    ProblemAt(*node, absl::StrCat("'", prefix_, key, "' is ", TypeName(*node), ", but must be an integer"));
    return false;
  }
  if (**number < least || **number > most) {
    ProblemAt(*node,
              absl::StrCat("'", prefix_, key, "' = ", **number, " must be between ", least, " and ", most));
    return false;
  }
  *value = static_cast<int>(**number);
  return true;
}

bool TomlReader::Bool(const std::string& key, bool* value) const {
  const toml::node* node = Get(key);
  if (node == nullptr) return false;
  const auto* truth = node->as_boolean();
  if (truth == nullptr) {
    ProblemAt(*node,
              absl::StrCat("'", prefix_, key, "' is ", TypeName(*node), ", but must be true or false"));
    return false;
  }
  *value = **truth;
  return true;
}

bool TomlReader::Strings(const std::string& key, const Check& check, std::vector<std::string>* values) const {
  const toml::node* node = Get(key);
  if (node == nullptr) return false;
  const auto* array = node->as_array();
  if (array == nullptr) {
    ProblemAt(*node,
              absl::StrCat("'", prefix_, key, "' is ", TypeName(*node), ", but must be an array of strings"));
    return false;
  }
  std::vector<std::string> read;
  for (const toml::node& item : *array) {
    const auto* text = item.as_string();
    if (text == nullptr) {
      ProblemAt(item, absl::StrCat("'", prefix_, key, "' holds ", TypeName(item), ", but must hold strings"));
      return false;
    }
    if (const std::string bad = check(**text); !bad.empty()) {
      ProblemAt(item, absl::StrCat("'", prefix_, key, "' holds \"", **text, "\", which ", bad));
      return false;
    }
    read.push_back(**text);
  }
  *values = std::move(read);
  return true;
}

void TomlReader::Table(const std::string& key, const std::function<void(const TomlReader&)>& read) const {
  const toml::node* node = Get(key);
  if (node == nullptr) return;
  const auto* table = node->as_table();
  if (table == nullptr) {
    ProblemAt(*node, absl::StrCat("'", prefix_, key, "' is ", TypeName(*node), ", but must be a table"));
    return;
  }
  const TomlReader reader(*table, absl::StrCat(prefix_, key, "."), file_, problems_);
  read(reader);
  reader.ReportUnknown();
}

std::vector<std::string> TomlReader::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, node] : table_) keys.emplace_back(key.str());
  return keys;
}

void TomlReader::ReportUnknown() const {
  for (const auto& [key, node] : table_) {
    const std::string name(key.str());
    if (read_.contains(name)) continue;
    // The key's own line: a table's node begins where its first header stands.
    problems_->push_back(
        absl::StrCat(file_, ":", key.source().begin.line, ": unknown key '", prefix_, name, "'"));
  }
}

}  // namespace berth::daemon
