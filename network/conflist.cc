// SPDX-License-Identifier: Apache-2.0
#include "network/conflist.h"

#include <algorithm>
#include <cctype>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::network {
namespace {

constexpr std::size_t kMaxPlugins = 64;

absl::Status Bad(std::string message) { return absl::InvalidArgumentError(std::move(message)); }

// Letters, digits, '_', '.', '-', the first a letter or digit.
bool IsNetworkName(const std::string& name) {
  if (name.empty() || name.size() > 255 || !absl::ascii_isalnum(static_cast<unsigned char>(name[0])))
    return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

// A file name and nothing more: it is looked for in the plugin directories.
bool IsProgramName(const std::string& type) {
  if (type.empty() || type.size() > 255 || type == "." || type == "..") return false;
  return std::none_of(type.begin(), type.end(),
                      [](unsigned char c) { return c == '/' || c == '\\' || absl::ascii_iscntrl(c); });
}

absl::Status CheckPlugin(const Json& plugin) {
  if (!plugin.is_object()) return Bad("is not an object");
  if (!plugin.contains("type")) return Bad("has no 'type'");
  if (!IsProgramName(FindString(plugin, "type"))) return Bad("has a 'type' that is no file name");
  if (const auto ipam = plugin.find("ipam");
      ipam != plugin.end() && ipam->is_object() && ipam->contains("type")) {
    const Json& type = (*ipam)["type"];
    // An empty type means "no addresses" (bridge on layer 2 only).
    if (!type.is_string() || (type != "" && !IsProgramName(type.get<std::string>()))) {
      return Bad("has an 'ipam.type' that is no file name");
    }
  }
  return absl::OkStatus();
}

// Booleans may be written as strings; libcni takes both.
absl::StatusOr<bool> ReadBool(const Json& list, const char* key) {
  const auto at = list.find(key);
  if (at == list.end()) return false;
  if (at->is_boolean()) return at->get<bool>();
  const std::string text = at->is_string() ? absl::AsciiStrToLower(at->get<std::string>()) : "";
  if (text != "true" && text != "false") return Bad(absl::StrCat("'", key, "' is neither true nor false"));
  return text == "true";
}

absl::StatusOr<CniVersion> ReadVersion(const Json& value, const char* key) {
  const auto version = value.is_string() ? ParseCniVersion(value.get<std::string>()) : std::nullopt;
  if (!version)
    return Bad(absl::StrCat("'", key, "' holds ", ToText(value), ", which is no version like \"1.0.0\""));
  return *version;
}

absl::StatusOr<std::vector<CniVersion>> ReadVersions(const Json& list) {
  std::vector<CniVersion> named;
  if (const auto one = list.find("cniVersion"); one != list.end() && *one != "") {
    BERTH_ASSIGN_OR_RETURN(const CniVersion version, ReadVersion(*one, "cniVersion"));
    named.push_back(version);
  }
  if (const auto many = list.find("cniVersions"); many != list.end()) {
    if (!many->is_array()) return Bad("'cniVersions' is not a list");
    for (const auto& entry : *many) {
      BERTH_ASSIGN_OR_RETURN(const CniVersion version, ReadVersion(entry, "cniVersions"));
      named.push_back(version);
    }
  }
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  if (named.empty())
    return std::vector<CniVersion>{CniVersion{{0, 1, 0}}};  // what the specification takes absence for
  std::vector<CniVersion> spoken = named;
  std::erase_if(spoken, [](const CniVersion& version) { return version > kNewestCni; });
  if (spoken.empty()) {
    return Bad(absl::StrCat("asks for CNI version ", JoinVersions(named), ", but berth speaks up to ",
                            kNewestCni.ToString()));
  }
  return spoken;
}

absl::Status ReadPlugins(const Json& object, Conflist& list) {
  const auto plugins = object.find("plugins");
  if (plugins == object.end() && object.contains("type")) {
    BERTH_RETURN_IF_ERROR(base::Annotate(CheckPlugin(object), "plugin 1"));
    list.plugins.push_back(object);
    list.only_inlined = true;
    return absl::OkStatus();
  }
  if (plugins == object.end()) {
    return list.only_inlined ? Bad("has 'loadOnlyInlinedPlugins' but no 'plugins'") : absl::OkStatus();
  }
  if (!plugins->is_array()) return Bad("'plugins' is not a list");
  if (plugins->empty()) return Bad("'plugins' is empty");
  if (plugins->size() > kMaxPlugins) return Bad(absl::StrCat("has more than ", kMaxPlugins, " plugins"));
  for (std::size_t i = 0; i < plugins->size(); ++i) {
    BERTH_RETURN_IF_ERROR(base::Annotate(CheckPlugin((*plugins)[i]), absl::StrCat("plugin ", i + 1)));
    list.plugins.push_back((*plugins)[i]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Conflist> ParseConflist(std::string_view text) {
  BERTH_ASSIGN_OR_RETURN(const Json object, ParseJsonObject(text));
  Conflist list;
  list.name = FindString(object, "name");
  if (!object.contains("name")) return Bad("has no 'name'");
  if (!IsNetworkName(list.name)) return Bad("has a 'name' that is not of letters, digits, '_', '.' and '-'");
  BERTH_ASSIGN_OR_RETURN(list.versions, ReadVersions(object));
  list.version = list.versions.back();
  BERTH_ASSIGN_OR_RETURN(list.disable_check, ReadBool(object, "disableCheck"));
  BERTH_ASSIGN_OR_RETURN(list.disable_gc, ReadBool(object, "disableGC"));
  BERTH_ASSIGN_OR_RETURN(list.only_inlined, ReadBool(object, "loadOnlyInlinedPlugins"));
  BERTH_RETURN_IF_ERROR(ReadPlugins(object, list));
  if (list.plugins.size() > 1 && list.version < kChainSince) {
    return Bad(absl::StrCat("chains plugins, which needs cniVersion 0.3.0 or later; it has ",
                            object.contains("cniVersion") ? list.version.ToString() : std::string("none")));
  }
  return list;
}

absl::StatusOr<Json> ParsePluginConfig(std::string_view text) {
  BERTH_ASSIGN_OR_RETURN(Json plugin, ParseJsonObject(text));
  BERTH_RETURN_IF_ERROR(CheckPlugin(plugin));
  return plugin;
}

std::string ToText(const Conflist& list) {
  Json object = Json::object();
  object["cniVersion"] = list.version.ToString();
  object["name"] = list.name;
  if (list.disable_check) object["disableCheck"] = true;
  if (list.disable_gc) object["disableGC"] = true;
  object["loadOnlyInlinedPlugins"] = true;  // whatever the folder held is in here already
  object["plugins"] = list.plugins;
  return ToText(object);
}

std::vector<std::string> ProgramsOf(const Json& plugin) {
  std::vector<std::string> programs{FindString(plugin, "type")};
  if (const Json* ipam = FindObject(plugin, "ipam")) {
    if (std::string type = FindString(*ipam, "type"); !type.empty()) programs.push_back(std::move(type));
  }
  return programs;
}

}  // namespace berth::network
