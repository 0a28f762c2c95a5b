// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <arpa/inet.h>
#include <toml++/toml.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/files.h"
#include "daemon/config_checks.h"
#include "daemon/config_containers.h"
#include "daemon/toml_reader.h"

namespace berth::daemon {
namespace {

// sun_path holds 108 bytes with its end.
std::string SocketPath(const std::string& path) {
  if (path.size() > 107) return "is longer than the 107 bytes that a unix socket's path may have";
  if (absl::EndsWith(path, "run/crio/crio.sock")) return "would make kubelet believe that it talks to CRI-O";
  return AbsolutePath(path);
}

// An address of this host in numbers: nobody resolves names here.
std::string HostPort(const std::string& address) {
  const auto colon = address.rfind(':');
  int port = -1;
  std::string host = address.substr(0, std::min(colon, address.size()));
  in6_addr ignored{};
  const bool v6 = host.size() > 2 && host.front() == '[' && host.back() == ']' &&
                  ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &ignored) == 1;
  if (colon == std::string::npos || (!v6 && ::inet_pton(AF_INET, host.c_str(), &ignored) != 1) ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return "must be an address and a port, such as \"127.0.0.1:0\" or \"[::1]:0\"";
  }
  return "";
}

std::string DurationOrZero(const std::string& text) {
  absl::Duration duration;
  return absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration() &&
                 duration < absl::Hours(24 * 365)
             ? ""
             : "must be a duration such as \"4h\" or \"90m\", or \"0\" for none";
}

std::string TlsVersion(const std::string& version) {
  return version == "1.2" || version == "1.3" ? "" : "must be \"1.2\" or \"1.3\"";
}

std::string Driver(const std::string& driver) {
  if (driver == "systemd")
    return "is not possible yet: this version makes cgroups itself (\"cgroupfs\" or \"auto\")";
  return driver == "cgroupfs" || driver == "auto" ? "" : "must be \"cgroupfs\", \"systemd\" or \"auto\"";
}

template <typename Value>
void Choose(const TomlReader& table, const char* key, const std::map<std::string, Value>& choices,
            Value* value) {
  std::string word;
  table.String(
      key,
      [&](const std::string& given) {
        if (choices.contains(given)) return std::string();
        std::string all;
        for (const auto& [name, ignored] : choices)
          absl::StrAppend(&all, all.empty() ? "" : ", ", "\"", name, "\"");
        return absl::StrCat("must be one of ", all);
      },
      &word);
  if (!word.empty()) *value = choices.at(word);
}

void ApplyTables(const TomlReader& top, Config* config) {
  top.Table("grpc",
            [&](const TomlReader& table) { table.String("socket", SocketPath, &config->grpc.socket); });
  top.Table("streaming", [&](const TomlReader& table) {
    constexpr int kMostSessions = 10000;
    auto& streaming = config->streaming;
    table.String("address", HostPort, &streaming.address);
    table.String("idle_timeout", DurationOrZero, &streaming.idle_timeout);
    table.Integer("max_sessions", 1, kMostSessions, &streaming.max_sessions);
    table.Integer("max_sessions_per_pod", 1, kMostSessions, &streaming.max_sessions_per_pod);
    table.Table("tls", [&](const TomlReader& tls) {
      tls.Bool("enabled", &streaming.tls.enabled);
      tls.String("certificate", AbsolutePathOrNone, &streaming.tls.certificate);
      tls.String("key", AbsolutePathOrNone, &streaming.tls.key);
      tls.String("client_ca", AbsolutePathOrNone, &streaming.tls.client_ca);
      tls.String("min_version", TlsVersion, &streaming.tls.min_version);
      tls.String(
          "ciphers", [](const std::string&) { return std::string(); }, &streaming.tls.ciphers);
    });
  });
  top.Table("cgroup", [&](const TomlReader& table) {
    table.String("driver", Driver, &config->cgroup.driver);
    table.String("root", AbsolutePath, &config->cgroup.root);
  });
  top.Table("cni", [&](const TomlReader& table) {
    table.String("conf_dir", AbsolutePath, &config->cni.conf_dir);
    table.Strings("bin_dirs", AbsolutePath, &config->cni.bin_dirs);
    table.String("conf_template", AbsolutePathOrNone, &config->cni.conf_template);
  });
  top.Table("registry", [&](const TomlReader& table) {
    table.String("config_path", AbsolutePath, &config->registry.config_path);
  });
  ApplyContainerTables(top, config);
  top.Table("kernel",
            [&](const TomlReader& table) { table.String("log", AbsolutePath, &config->kernel.log); });
  top.Table("log", [&](const TomlReader& table) {
    Choose<base::LogLevel>(table, "level",
                           {{"debug", base::LogLevel::kDebug},
                            {"info", base::LogLevel::kInfo},
                            {"warning", base::LogLevel::kWarning},
                            {"error", base::LogLevel::kError}},
                           &config->log.level);
    Choose<base::LogFormat>(table, "format",
                            {{"text", base::LogFormat::kText}, {"json", base::LogFormat::kJson}},
                            &config->log.format);
  });
}

}  // namespace

void ApplyToml(const std::string& text, const std::string& file, Config* config, Problems* problems) {
  toml::table parsed;
  try {
    parsed = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    problems->push_back(
        absl::StrCat(file, ":", error.source().begin.line, ": ", std::string(error.description())));
    return;
  }
  const TomlReader top(parsed, "", file, problems);
  top.String("root", AbsolutePath, &config->root);
  top.String("state", AbsolutePath, &config->state);
  top.Strings("default_handlers", HandlerName, &config->default_handlers);
  ApplyTables(top, config);
  top.ReportUnknown();
}

void Validate(Config* config, Problems* problems) {
  if (config->cgroup.driver == "auto") config->cgroup.driver = "cgroupfs";  // the only one of this version
  if (config->default_handlers.empty()) problems->push_back("default_handlers is empty: no pod could run");
  for (const auto& name : config->default_handlers) {
    if (!config->handlers.contains(name)) {
      problems->push_back(
          absl::StrCat("default_handlers names '", name, "', but there is no [handlers.", name, "]"));
    }
  }
  if (config->streaming.tls.certificate.empty() != config->streaming.tls.key.empty())
    problems->push_back("streaming.tls: certificate and key belong together; set both or neither");
  if (config->root == config->state)
    problems->push_back(
        "root and state are the same directory; one must outlive a reboot, the other must not");
}

Config LoadConfig(const std::string& file, bool required, Problems* problems) {
  Config config;
  if (const auto text = base::ReadFile(file); text.ok()) {
    ApplyToml(*text, file, &config, problems);
  } else if (required || text.error().err != ENOENT) {
    problems->push_back(text.error().Message());
  }
  const std::string dir = file.substr(0, file.rfind('/') + 1) + "conf.d";
  const auto names = base::ListDir(dir);
  if (!names.ok() && names.error().err != ENOENT) problems->push_back(names.error().Message());
  if (names.ok()) {
    for (const auto& name : *names) {
      if (!absl::EndsWith(name, ".toml")) continue;
      const std::string path = absl::StrCat(dir, "/", name);
      const auto text = base::ReadFile(path);
      if (text.ok()) {
        ApplyToml(*text, path, &config, problems);
      } else {
        problems->push_back(text.error().Message());
      }
    }
  }
  Validate(&config, problems);
  return config;
}

}  // namespace berth::daemon
