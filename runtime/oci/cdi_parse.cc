// SPDX-License-Identifier: Apache-2.0
// CDI files: JSON or YAML text in, edits out.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "runtime/oci/cdi.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxNodes = 100000;

bool IsAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool IsWord(std::string_view text, std::string_view more) {
  if (text.empty() || !IsAlnum(text.front()) || !IsAlnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return IsAlnum(c) || more.find(c) != std::string_view::npos; });
}

absl::Status CheckKind(const std::string& kind) {
  const std::size_t slash = kind.find('/');
  const bool good = slash != std::string::npos && IsWord(std::string_view(kind).substr(0, slash), "_-.") &&
                    IsWord(std::string_view(kind).substr(slash + 1), "_-");
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(absl::StrCat("'", kind, "' is no vendor/class"));
}

// YAML's scalars as JSON would have them: plain ones may be numbers and booleans, quoted ones are text.
json FromScalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;
  if (text == "true" || text == "false") return text == "true";
  if (text == "null" || text == "~" || text.empty()) return nullptr;
  // File modes: octal, with YAML 1.1's 0644 and 1.2's 0o644.
  const std::string_view digits = std::string_view(text).substr(absl::StartsWith(text, "0o") ? 2
                                                                : text[0] == '0'             ? 1
                                                                                             : 0);
  if (digits.size() < text.size() && !digits.empty() && digits.size() < 10 &&
      digits.find_first_not_of("01234567") == std::string_view::npos)
    return std::stoull(std::string(digits), nullptr, 8);
  const json number = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return number.is_number() ? number : json(text);
}

// Anchors are copied where they are used: the number of nodes is what a bomb of them is stopped by.
json FromYaml(const YAML::Node& node, int depth, std::size_t* left) {
  if (depth > kMaxDepth || (*left)-- == 0) throw std::length_error("nested too deeply, or too long");
  switch (node.Type()) {
    case YAML::NodeType::Map: {
      json object = json::object();
      for (const auto& pair : node) object[pair.first.Scalar()] = FromYaml(pair.second, depth + 1, left);
      return object;
    }
    case YAML::NodeType::Sequence: {
      json array = json::array();
      for (const auto& item : node) array.push_back(FromYaml(item, depth + 1, left));
      return array;
    }
    case YAML::NodeType::Scalar:
      return FromScalar(node);
    default:
      return nullptr;
  }
}

absl::StatusOr<json> Parse(const std::string& file, const std::string& text) {
  if (absl::EndsWith(file, ".json")) {
    json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) return absl::InvalidArgumentError("it is no JSON object");
    return parsed;
  }
  try {
    std::size_t left = kMaxNodes;
    json parsed = FromYaml(YAML::Load(text), 0, &left);
    if (!parsed.is_object()) return absl::InvalidArgumentError("it is no YAML mapping");
    return parsed;
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

absl::Status OnlyKeys(const json& object, std::initializer_list<std::string_view> known, const char* where) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return absl::InvalidArgumentError(absl::StrCat("'", where, ".", key, "' is not understood"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CdiDeviceNode> ReadNode(const json& object) {
  BERTH_RETURN_IF_ERROR(OnlyKeys(
      object, {"path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"},
      "deviceNodes"));
  CdiDeviceNode node;
  node.path = object.value("path", "");
  node.host_path = object.value("hostPath", "");
  node.type = object.value("type", "");
  node.major = object.value("major", std::int64_t{0});
  node.minor = object.value("minor", std::int64_t{0});
  const auto number = [&](const char* key, std::optional<std::uint32_t>* into) {
    if (object.contains(key)) *into = object.at(key).get<std::uint32_t>();
  };
  number("fileMode", &node.mode);
  number("uid", &node.uid);
  number("gid", &node.gid);
  node.permissions = object.value("permissions", "rwm");
  const bool words = node.permissions.find_first_not_of("rwm") == std::string::npos;
  const bool type =
      node.type.empty() || node.type == "b" || node.type == "c" || node.type == "u" || node.type == "p";
  if (node.path.empty() || node.path[0] != '/' || !words || !type)
    return absl::InvalidArgumentError(
        absl::StrCat("device node '", node.path, "' has a bad path, type or permissions"));
  if (node.type == "u") node.type = "c";
  return node;
}

absl::StatusOr<json> ReadMount(const json& object) {
  BERTH_RETURN_IF_ERROR(OnlyKeys(object, {"hostPath", "containerPath", "options", "type"}, "mounts"));
  const std::string host = object.value("hostPath", ""), inside = object.value("containerPath", "");
  if (host.empty() || inside.empty() || inside[0] != '/')
    return absl::InvalidArgumentError(absl::StrCat("mount '", host, "' at '", inside, "' lacks a path"));
  std::vector<std::string> options = object.value("options", std::vector<std::string>());
  const std::string type = object.value("type", "bind");
  const bool bind = std::find(options.begin(), options.end(), "bind") != options.end() ||
                    std::find(options.begin(), options.end(), "rbind") != options.end();
  if (type == "bind" && !bind) options.push_back("rbind");
  return json{{"destination", inside}, {"source", host}, {"type", type}, {"options", options}};
}

absl::StatusOr<std::pair<std::string, json>> ReadHook(const json& object) {
  BERTH_RETURN_IF_ERROR(OnlyKeys(object, {"hookName", "path", "args", "env", "timeout"}, "hooks"));
  static constexpr std::string_view kStages[] = {"prestart",       "createRuntime", "createContainer",
                                                 "startContainer", "poststart",     "poststop"};
  const std::string stage = object.value("hookName", ""), path = object.value("path", "");
  if (std::find(std::begin(kStages), std::end(kStages), stage) == std::end(kStages) || path.empty() ||
      path[0] != '/')
    return absl::InvalidArgumentError(
        absl::StrCat("hook '", path, "' has a bad path or stage '", stage, "'"));
  json hook = object;
  hook.erase("hookName");
  return std::pair(stage, std::move(hook));
}

absl::StatusOr<CdiEdits> ReadEdits(const json& object) {
  CdiEdits edits;
  BERTH_RETURN_IF_ERROR(
      OnlyKeys(object, {"env", "deviceNodes", "mounts", "hooks", "additionalGids"}, "containerEdits"));
  for (const json& entry : object.value("env", json::array())) {
    std::string text = entry.get<std::string>();
    if (text.find('=') == std::string::npos || text[0] == '=')
      return absl::InvalidArgumentError(absl::StrCat("environment entry '", text, "' is no NAME=VALUE"));
    edits.env.push_back(std::move(text));
  }
  for (const json& entry : object.value("deviceNodes", json::array())) {
    BERTH_ASSIGN_OR_RETURN(CdiDeviceNode node, ReadNode(entry));
    edits.devices.push_back(std::move(node));
  }
  for (const json& entry : object.value("mounts", json::array())) {
    BERTH_ASSIGN_OR_RETURN(json mount, ReadMount(entry));
    edits.mounts.push_back(std::move(mount));
  }
  for (const json& entry : object.value("hooks", json::array())) {
    BERTH_ASSIGN_OR_RETURN(auto hook, ReadHook(entry));
    edits.hooks.push_back(std::move(hook));
  }
  for (const json& entry : object.value("additionalGids", json::array()))
    edits.groups.push_back(entry.get<std::uint32_t>());
  return edits;
}

absl::StatusOr<CdiSpec> ReadSpec(const json& object) {
  BERTH_RETURN_IF_ERROR(
      OnlyKeys(object, {"cdiVersion", "kind", "annotations", "devices", "containerEdits"}, "the file"));
  CdiSpec spec;
  const std::string version = object.value("cdiVersion", "");
  if (!absl::StartsWith(version, "0.") && !absl::StartsWith(version, "1."))
    return absl::InvalidArgumentError(absl::StrCat("cdiVersion '", version, "' is not known"));
  spec.kind = object.value("kind", "");
  BERTH_RETURN_IF_ERROR(CheckKind(spec.kind));
  BERTH_ASSIGN_OR_RETURN(spec.edits, ReadEdits(object.value("containerEdits", json::object())));
  for (const json& device : object.value("devices", json::array())) {
    BERTH_RETURN_IF_ERROR(OnlyKeys(device, {"name", "annotations", "containerEdits"}, "devices"));
    const std::string name = device.value("name", "");
    BERTH_RETURN_IF_ERROR(CheckCdiName(absl::StrCat(spec.kind, "=", name)));
    BERTH_ASSIGN_OR_RETURN(CdiEdits edits, ReadEdits(device.value("containerEdits", json::object())));
    if (!spec.devices.emplace(name, std::move(edits)).second)
      return absl::InvalidArgumentError(absl::StrCat("device '", name, "' is there twice"));
  }
  return spec;
}

}  // namespace

absl::Status CheckCdiName(const std::string& name) {
  const std::size_t equals = name.find('=');
  if (equals != std::string::npos && CheckKind(name.substr(0, equals)).ok() &&
      IsWord(std::string_view(name).substr(equals + 1), "_-.:"))
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", name, "' is no CDI device: vendor/class=name"));
}

absl::StatusOr<CdiSpec> ParseCdi(const std::string& file, const std::string& text) {
  const auto read = [&]() -> absl::StatusOr<CdiSpec> {
    BERTH_ASSIGN_OR_RETURN(const json object, Parse(file, text));
    try {
      return ReadSpec(object);
    } catch (const json::exception&) {
      return absl::InvalidArgumentError("a value is of a wrong type");
    }
  };
  auto spec = read();
  if (!spec.ok()) return base::Annotate(spec.status(), absl::StrCat("CDI file '", file, "'"));
  return spec;
}

}  // namespace berth::runtime::oci
