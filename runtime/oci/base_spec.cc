// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/base_spec.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

// Not of a base, whether the specification has them or not.
bool IsOurs(const std::string& path) {
  static const std::set<std::string> kOurs = {"/ociVersion",           "/root",
                                              "/linux/namespaces",     "/linux/seccomp",
                                              "/linux/maskedPaths",    "/linux/devices",
                                              "/linux/readonlyPaths",  "/linux/uidMappings",
                                              "/linux/gidMappings",    "/process/args",
                                              "/process/capabilities", "/process/user",
                                              "/process/cwd",          "/process/noNewPrivileges",
                                              "/linux/cgroupsPath",    "/linux/resources/devices",
                                              "/process/terminal"};
  return kOurs.contains(path);
}

// Items of a list of the base that no item of ours names.
void FillList(const json& base, json& list, const std::function<std::string(const json&)>& name,
              bool before) {
  if (!base.is_array()) return;
  std::set<std::string> taken;
  for (const json& item : list) taken.insert(name(item));
  json added = json::array();
  for (const json& item : base) {
    if (const std::string it = name(item); !it.empty() && !taken.contains(it)) added.push_back(item);
  }
  if (before) {
    added.insert(added.end(), list.begin(), list.end());
    list = std::move(added);
  } else {
    list.insert(list.end(), added.begin(), added.end());
  }
}

std::string Destination(const json& mount) {
  return mount.is_object() && mount.contains("destination") && mount["destination"].is_string()
             ? mount["destination"].get<std::string>()
             : "";
}

std::string Variable(const json& entry) {
  if (!entry.is_string()) return "";
  const std::string text = entry.get<std::string>();
  return text.substr(0, text.find('='));
}

void Fill(const json& base, json& spec, const std::string& path) {
  for (const auto& [key, value] : base.items()) {
    const std::string here = path + "/" + key;
    if (IsOurs(here)) continue;
    if (!spec.contains(key)) {
      spec[key] = value;
      // An object that we did not have may hold what is ours.
      if (value.is_object()) {
        spec[key] = json::object();
        Fill(value, spec[key], here);
      }
    } else if (here == "/mounts") {
      FillList(value, spec[key], Destination, true);
    } else if (here == "/process/env") {
      FillList(value, spec[key], Variable, false);
    } else if (value.is_object() && spec[key].is_object()) {
      Fill(value, spec[key], here);
    }
  }
}

bool Matches(std::string_view pattern, std::string_view text) {
  // The usual two positions: where the last '*' stood, and what it has taken so far.
  std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

void FillFromBase(const json& base, json& spec) {
  if (base.is_object()) Fill(base, spec, "");
}

StringMap AllowedAnnotations(const StringMap& annotations, const std::vector<std::string>& patterns) {
  StringMap allowed;
  for (const auto& [key, value] : annotations) {
    if (std::any_of(patterns.begin(), patterns.end(),
                    [&key = key](const std::string& pattern) { return Matches(pattern, key); }))
      allowed[key] = value;
  }
  return allowed;
}

}  // namespace berth::runtime::oci
