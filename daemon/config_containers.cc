// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_containers.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/config_checks.h"
#include "runtime/security/sysctl.h"

namespace berth::daemon {
namespace {

using runtime::oci::HandlerConfig;

constexpr char kZoneinfo[] = "/usr/share/zoneinfo/";

std::string Any(const std::string&) { return ""; }

void ReadHandler(const TomlReader& table, HandlerConfig* handler) {
  table.String("root", AbsolutePathOrNone, &handler->root);
  table.Strings("args", Any, &handler->args);
  table.String("base_spec", AbsolutePathOrNone, &handler->base_spec);
  table.String("seccomp_profile", AbsolutePathOrNone, &handler->seccomp_profile);
  table.Strings("pod_annotations", Any, &handler->pod_annotations);
  table.Strings("container_annotations", Any, &handler->container_annotations);
  table.Bool("privileged_without_host_devices", &handler->privileged_without_host_devices);
  table.Strings("hooks_dirs", AbsolutePath, &handler->hooks_dirs);
}

void ReadHandlers(const TomlReader& table, Config* config) {
  for (const std::string& name : table.Keys()) {
    if (const std::string bad = HandlerName(name); !bad.empty()) {
      table.Problem(name, absl::StrCat("'", name, "' ", bad));
      continue;
    }
    table.Table(name, [&](const TomlReader& handler) {
      HandlerConfig read = config->handlers.contains(name) ? config->handlers[name] : HandlerAt(name, "");
      handler.String("path", AbsolutePath, &read.path);
      ReadHandler(handler, &read);
      if (read.path.empty()) {
        table.Problem(name, absl::StrCat("handler '", name, "' has no path"));
      } else {
        config->handlers[name] = std::move(read);
      }
    });
  }
}

std::string EnvEntry(const std::string& text) {
  const std::size_t equals = text.find('=');
  return equals != std::string::npos && equals != 0 ? "" : "is no NAME=VALUE";
}
std::string Ulimit(const std::string& text) {
  return ParseUlimit(text) ? "" : "is no limit such as \"nofile=1024:4096\" or \"core=unlimited\"";
}
std::string Octal(const std::string& text) {
  const bool good = !text.empty() && text.size() <= 4 &&
                    text.find_first_not_of("01234567") == std::string::npos &&
                    std::stoul(text, nullptr, 8) <= 0777;
  return text.empty() || good ? "" : "is no umask such as \"0022\"";
}
std::string Zone(const std::string& text) {
  const bool good = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("/_+-").find(c) != std::string_view::npos;
  });
  return text.empty() || text == "local" || (good && text[0] != '/')
             ? ""
             : "must be \"local\" or a name such as \"Europe/Vienna\"";
}
std::string Size(const std::string& text) { return ParseSize(text) ? "" : "is no size such as \"64MiB\""; }

void ReadSysctls(const TomlReader& table, Config* config) {
  std::map<std::string, std::string> sysctls;
  for (const std::string& name : table.Keys()) {
    table.String(
        name,
        [&](const std::string& value) {
          const absl::Status good = runtime::security::ValidateSysctl(name, value, {});
          return good.ok() ? "" : absl::StrCat("is refused: ", good.message());
        },
        &sysctls[name]);
  }
  config->defaults.sysctls = std::move(sysctls);
}

void ReadDefaults(const TomlReader& table, Config* config) {
  std::vector<std::string> list;
  if (table.Strings("env", EnvEntry, &list)) {
    config->defaults.containers.env.clear();
    for (const std::string& entry : list)
      config->defaults.containers.env.emplace_back(entry.substr(0, entry.find('=')),
                                                   entry.substr(entry.find('=') + 1));
  }
  if (table.Strings("ulimits", Ulimit, &list)) {
    config->defaults.containers.rlimits.clear();
    for (const std::string& entry : list) config->defaults.containers.rlimits.push_back(*ParseUlimit(entry));
  }
  std::string text;
  if (table.String("umask", Octal, &text)) {
    config->defaults.containers.umask.reset();
    if (!text.empty())
      config->defaults.containers.umask = static_cast<std::uint32_t>(std::stoul(text, nullptr, 8));
  }
  if (table.String("timezone", Zone, &text)) {
    config->defaults.containers.timezone_file = text.empty()      ? ""
                                                : text == "local" ? "/etc/localtime"
                                                                  : kZoneinfo + text;
  }
  if (table.String("shm_size", Size, &text)) config->defaults.shm_bytes = *ParseSize(text);
  table.String("apparmor_parser", AbsolutePathOrNone, &config->defaults.apparmor_parser);
  table.Table("sysctls", [&](const TomlReader& sysctls) { ReadSysctls(sysctls, config); });
}

}  // namespace

std::string AbsolutePath(const std::string& path) {
  if (path.empty() || path[0] != '/') return "must be an absolute path";
  if (absl::StrContains(path, "/../") || absl::EndsWith(path, "/..")) return "must not contain '..'";
  return "";
}

std::string AbsolutePathOrNone(const std::string& path) { return path.empty() ? "" : AbsolutePath(path); }

std::string HandlerName(const std::string& name) {
  const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), good) && name[0] != '-'
             ? ""
             : "is no handler's name: lower-case letters, digits and '-'";
}

std::optional<std::uint64_t> ParseSize(const std::string& text) {
  constexpr std::array<std::pair<absl::string_view, int>, 3> kUnits = {
      {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}}};
  std::string number = text;
  int shift = 0;
  for (const auto& [unit, bits] : kUnits) {
    if (!absl::EndsWith(text, unit)) continue;
    number = text.substr(0, text.size() - unit.size());
    shift = bits;
  }
  std::uint64_t value = 0;
  if (number.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(number[0])) ||
      !absl::SimpleAtoi(number, &value) || value == 0 || value > (std::uint64_t{1} << 62) >> shift)
    return std::nullopt;
  return value << shift;
}

std::optional<runtime::oci::Rlimit> ParseUlimit(const std::string& text) {
  static constexpr std::array<std::string_view, 16> kNames = {
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return std::nullopt;
  const std::string name = text.substr(0, equals);
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) return std::nullopt;
  const auto value = [](const std::string& word) -> std::optional<std::uint64_t> {
    if (word == "unlimited") return RLIM_INFINITY;
    std::uint64_t number = 0;
    if (word.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(word[0])) ||
        !absl::SimpleAtoi(word, &number))
      return std::nullopt;
    return number;
  };
  const std::string rest = text.substr(equals + 1);
  const std::size_t colon = rest.find(':');
  const auto soft = value(rest.substr(0, colon));
  const auto hard = colon == std::string::npos ? soft : value(rest.substr(colon + 1));
  if (!soft || !hard || *soft > *hard) return std::nullopt;
  return runtime::oci::Rlimit{"RLIMIT_" + absl::AsciiStrToUpper(name), *soft, *hard};
}

void ApplyContainerTables(const TomlReader& top, Config* config) {
  top.Table("handlers", [&](const TomlReader& table) { ReadHandlers(table, config); });
  top.Table("defaults", [&](const TomlReader& table) { ReadDefaults(table, config); });
  top.Table("cdi", [&](const TomlReader& table) { table.Strings("dirs", AbsolutePath, &config->cdi.dirs); });
}

}  // namespace berth::daemon
