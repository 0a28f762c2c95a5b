// SPDX-License-Identifier: Apache-2.0
// berthd's configuration: one TOML file and the files of conf.d beside it, in the order of their names; what
// a later file sets replaces what an earlier one said (arrays as a whole, handlers one by one). The defaults
// are these structs' own. Unknown keys, wrong types and impossible values are errors with file and line.
// deploy/config.toml documents every key.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "runtime/oci/options.h"

namespace berth::daemon {

inline constexpr char kDefaultConfigFile[] = "/etc/berth/config.toml";

inline runtime::oci::HandlerConfig HandlerAt(const std::string& name, const std::string& path) {
  runtime::oci::HandlerConfig handler;
  handler.name = name;
  handler.path = path;
  return handler;
}

struct Config {
  std::string root = "/var/lib/berth";
  std::string state = "/run/berth";
  std::vector<std::string> default_handlers = {"crun", "runc"};
  struct {
    std::string socket = "/run/berth/berth.sock";
  } grpc;
  struct {
    std::string address = "127.0.0.1:0";
    std::string idle_timeout = "4h";  // as absl::ParseDuration takes it; "0": none
    int max_sessions = 1000;
    int max_sessions_per_pod = 250;
    struct {
      bool enabled = false;
      std::string certificate, key;  // "" = made at each start
      std::string client_ca;         // "" = clients need no certificate
      std::string min_version = "1.2";
      std::string ciphers;  // "" = our choice
    } tls;
  } streaming;
  struct {
    std::string driver = "cgroupfs";  // after loading: always a driver, never "auto"
    std::string root = "/";
  } cgroup;
  struct {
    std::string conf_dir = "/etc/cni/net.d";
    std::vector<std::string> bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
    std::string conf_template;  // "" = none
  } cni;
  struct {
    std::string config_path = "/etc/berth/certs.d";
  } registry;
  std::map<std::string, runtime::oci::HandlerConfig> handlers = {
      {"crun", HandlerAt("crun", "/usr/bin/crun")}, {"runc", HandlerAt("runc", "/usr/sbin/runc")}};
  struct {
    runtime::oci::ContainerDefaults containers;
    // As on other runtimes: a pod's own network lets any user of it take low ports and send echo requests.
    std::map<std::string, std::string> sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                                                  {"net.ipv4.ping_group_range", "0 2147483647"}};
    std::uint64_t shm_bytes = 64 << 20;
    std::string apparmor_parser = "/sbin/apparmor_parser";
  } defaults;
  struct {
    std::vector<std::string> dirs = {"/etc/cdi", "/var/run/cdi"};
  } cdi;
  struct {
    std::string log = "/dev/kmsg";
  } kernel;
  struct {
    base::LogLevel level = base::LogLevel::kInfo;
    base::LogFormat format = base::LogFormat::kText;
  } log;
};

// One problem and where: "/etc/berth/config.toml:12: unknown key 'rot'".
using Problems = std::vector<std::string>;

// Applies the text of one file to `config`; what is wrong is appended to `problems` and skipped.
void ApplyToml(const std::string& text, const std::string& file, Config* config, Problems* problems);
// What no single key can tell: defaults that name no handler, a driver that this version lacks.
void Validate(Config* config, Problems* problems);

// Reads `file` and <dir of file>/conf.d/*.toml. A missing `file` is a problem only if `required` (it was
// named on the command line). All problems are told, not only the first.
Config LoadConfig(const std::string& file, bool required, Problems* problems);

}  // namespace berth::daemon
