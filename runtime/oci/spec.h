// SPDX-License-Identifier: Apache-2.0
// The OCI runtime specification of a container as a pure function: request + image config + host facts in,
// config.json out. No file is read and no clock asked here, so that golden tests tell the whole truth.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "image/image.h"
#include "runtime/oci/handler.h"
#include "runtime/oci/options.h"
#include "runtime/types.h"

namespace berth::runtime::oci {

// What of the host bears on a spec; gathered once by GatherHostFacts (host_facts.h).
struct HostFacts {
  bool cgroup_v2 = false;
  std::vector<std::string> hugepage_sizes;  // settable ones
  bool swap_accounting = false;
  std::vector<std::string> capabilities;  // our bounding set, "CAP_…": privileged containers get these
  int oom_score_adj_floor = -1000;        // our own value without CAP_SYS_RESOURCE: lower is clamped
  bool seccomp = true;
  bool apparmor = false;
  std::string apparmor_default;     // profile for RuntimeDefault; "" = none could be loaded, and then
  std::string no_apparmor_default;  // why
  bool selinux = false;
  std::string architecture;                     // "amd64", "arm64"
  std::vector<std::string> cgroup_controllers;  // for what may be limited
  std::string node_name;                        // HOSTNAME of pods that use the host's network
  // RLIMIT_NOFILE that we were started with. Said, though it is inherited: a Go runtime raises its own soft
  // limit and (runc before 1.1.13) hands the raised one on.
  std::optional<Rlimit> descriptors;
};

// Paths made by the caller before the container is created.
struct ContainerPaths {
  std::string rootfs;
  std::string resolv_conf, hostname,
      shm;            // "" = not mounted by us (host network's /etc/hostname too is given)
  std::string hosts;  // mounted at /etc/hosts unless the request mounts there
  std::string netns, ipcns, utsns,
      pidns;  // to join; "" = the host's for net/ipc/uts; pidns "" + pid_private = new one
  // What to bind for mount n of the request instead of its host path; "" or missing: the host path.
  std::vector<std::string> mount_sources;
  // The image's own volumes: place in the container, directory on the host.
  std::vector<std::pair<std::string, std::string>> volumes;
  std::string userns;  // to join, with namespaces.user_namespace; the mappings are those of `namespaces`
};

struct SpecInput {
  const PodConfig* pod = nullptr;
  const ContainerConfig* container = nullptr;
  const image::ImageConfig* image = nullptr;
  const HostFacts* host = nullptr;
  const Handler* handler = nullptr;
  ContainerPaths paths;
  NamespaceOptions namespaces;  // effective ones
  ResolvedUser user;
  std::string cgroup;  // cgroupsPath: "/kubepods/…/<id>"
  std::string container_id, pod_id;
  struct ResolvedDevice {    // devices were looked at by the caller
    std::string path, type;  // type "c" or "b"
    std::int64_t major = 0, minor = 0;
    std::uint32_t mode = 0, uid = 0, gid = 0;
    std::string permissions;
  };
  std::vector<ResolvedDevice> devices;
  std::optional<nlohmann::json> localhost_seccomp;  // parsed profile, for Localhost
  const ContainerDefaults* defaults = nullptr;      // of the configuration; nullptr: none
};

// config.json. INVALID_ARGUMENT with a sentence for what cannot be honoured.
absl::StatusOr<nlohmann::json> BuildSpec(const SpecInput& input);

// Effective argv by the image rules: command set → image's Cmd dropped; none at all is INVALID_ARGUMENT.
absl::StatusOr<std::vector<std::string>> BuildArgs(const ContainerConfig& container,
                                                   const image::ImageConfig& image);

// The process object for `exec --process`, from the container's own spec: same user, env, capabilities,
// no_new_privs, LSM labels.
nlohmann::json BuildExecProcess(const nlohmann::json& container_spec, const std::vector<std::string>& command,
                                bool tty);

}  // namespace berth::runtime::oci
