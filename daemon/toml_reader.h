// SPDX-License-Identifier: Apache-2.0
// One table of a TOML file, read key by key: each problem with file and line, and at the end whatever nobody
// asked for.
#pragma once

#include <toml++/toml.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace berth::daemon {

// Keeps references to its arguments; lives within one reading.
class TomlReader {
 public:
  // "" when the value is good, else why not, to follow the value: "must be an absolute path".
  using Check = std::function<std::string(const std::string&)>;

  TomlReader(const toml::table& table, std::string prefix, const std::string& file,
             std::vector<std::string>* problems)
      : table_(table), prefix_(std::move(prefix)), file_(file), problems_(problems) {}

  // True and *value set if the key is there and good. Absent: false without a problem.
  bool String(const std::string& key, const Check& check, std::string* value) const;
  // From `least` to `most`.
  bool Integer(const std::string& key, int least, int most, int* value) const;
  bool Bool(const std::string& key, bool* value) const;
  bool Strings(const std::string& key, const Check& check, std::vector<std::string>* values) const;
  // Calls `read` with the sub-table, if there is one, and reports what it left unread.
  void Table(const std::string& key, const std::function<void(const TomlReader&)>& read) const;
  std::vector<std::string> Keys() const;
  void Problem(const std::string& key, const std::string& text) const;
  void ReportUnknown() const;

 private:
  const toml::node* Get(const std::string& key) const;
  void ProblemAt(const toml::node& node, const std::string& text) const;

  const toml::table& table_;
  const std::string prefix_;  // "cni." for messages
  const std::string& file_;
  std::vector<std::string>* const problems_;
  mutable std::set<std::string> read_;
};

}  // namespace berth::daemon
