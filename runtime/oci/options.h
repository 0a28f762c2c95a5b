// SPDX-License-Identifier: Apache-2.0
// What the node's configuration says about all containers, and about those of one handler.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth::runtime::oci {

// One [handlers.NAME] of the configuration.
struct HandlerConfig {
  std::string name;
  std::string path;
  std::string root;               // directory of the OCI runtime's state, a sub-directory a pod; "" = ours
  std::vector<std::string> args;  // global arguments of every call
  std::string base_spec;          // file: an OCI specification that fills what berth leaves open
  std::string seccomp_profile;    // file: the profile that RuntimeDefault means; "" = ours
  // Patterns ("*" is any text) of annotations that become annotations of the OCI specification.
  std::vector<std::string> pod_annotations, container_annotations;
  bool privileged_without_host_devices = false;
  std::vector<std::string> hooks_dirs;  // hooks.d: JSON files, oci-hooks(5), version 1.0.0
  bool operator==(const HandlerConfig&) const = default;
};

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t soft = 0, hard = 0;
  bool operator==(const Rlimit&) const = default;
};

// [defaults] of the configuration: what holds where neither image nor request says another thing.
struct ContainerDefaults {
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<Rlimit> rlimits;
  std::optional<std::uint32_t> umask;
  std::string timezone_file;  // mounted at /etc/localtime; "" = the image's
  bool operator==(const ContainerDefaults&) const = default;
};

}  // namespace berth::runtime::oci
