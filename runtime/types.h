// SPDX-License-Identifier: Apache-2.0
// What kubelet asks for and what we answer, in our own types: protobuf stops at cri/. Plain values; copying
// is free of surprises, sharing between threads is by shared_ptr<const …>. Every struct here has
// to_json/from_json (runtime/codec.h): the records of the database are made of them, so fields are only ever
// added.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cgroupfs/resources.h"

namespace berth::runtime {

using StringMap = std::map<std::string, std::string>;

enum class NamespaceMode { kPod = 0, kContainer = 1, kNode = 2, kTarget = 3 };  // numbers as in CRI
struct IdMapping {
  std::uint32_t host_id = 0;
  std::uint32_t container_id = 0;
  std::uint32_t length = 0;
};
struct NamespaceOptions {
  NamespaceMode network = NamespaceMode::kPod;
  NamespaceMode pid = NamespaceMode::kPod;
  NamespaceMode ipc = NamespaceMode::kPod;
  std::string target_id;        // container whose PID namespace is joined, with pid == kTarget
  bool user_namespace = false;  // userns_options.mode == POD
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
};

enum class ProfileType { kRuntimeDefault = 0, kUnconfined = 1, kLocalhost = 2 };
struct SecurityProfile {
  ProfileType type = ProfileType::kRuntimeDefault;
  std::string localhost_ref;
};
struct SelinuxOptions {
  std::string user, role, type, level;
};

struct PodMetadata {
  std::string name, uid, name_space;
  std::uint32_t attempt = 0;
};
struct DnsConfig {
  std::vector<std::string> servers, searches, options;
};
enum class Protocol { kTcp = 0, kUdp = 1, kSctp = 2 };
struct PortMapping {
  Protocol protocol = Protocol::kTcp;
  std::int32_t container_port = 0;
  std::int32_t host_port = 0;  // 0: nothing to publish
  std::string host_ip;
};

struct PodConfig {
  PodMetadata metadata;
  std::string hostname;
  std::string log_directory;
  std::optional<DnsConfig> dns;  // nullopt: the host's resolv.conf
  std::vector<PortMapping> port_mappings;
  StringMap labels;
  StringMap annotations;
  // linux.*
  std::string cgroup_parent;  // "" = ours to choose
  StringMap sysctls;
  std::optional<cgroupfs::Resources> overhead;
  std::optional<cgroupfs::Resources> resources;
  // linux.security_context
  NamespaceOptions namespaces;
  std::optional<SelinuxOptions> selinux;
  std::optional<std::int64_t> run_as_user;
  std::optional<std::int64_t> run_as_group;
  bool readonly_rootfs = false;
  std::vector<std::int64_t> supplemental_groups;
  bool strict_supplemental_groups = false;
  bool privileged = false;
  std::optional<SecurityProfile> seccomp;
  std::optional<SecurityProfile> apparmor;
};

struct ImageSpec {
  std::string image;
  StringMap annotations;
  std::string user_specified_image;
  std::string runtime_handler;
  std::string image_ref;
};

enum class MountPropagation { kPrivate = 0, kHostToContainer = 1, kBidirectional = 2 };
struct Mount {
  std::string container_path;
  std::string host_path;
  bool readonly = false;
  bool selinux_relabel = false;
  MountPropagation propagation = MountPropagation::kPrivate;
  std::vector<IdMapping> uid_mappings, gid_mappings;
  bool recursive_read_only = false;
  std::optional<ImageSpec> image;
  std::string image_sub_path;
  std::vector<std::string> mount_options;
};
struct Device {
  std::string container_path, host_path, permissions;
};
struct EnvVar {
  std::string key;
  std::string value;  // bytes; not always UTF-8
};

struct ContainerMetadata {
  std::string name;
  std::uint32_t attempt = 0;
};

struct ContainerConfig {
  ContainerMetadata metadata;
  ImageSpec image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<EnvVar> envs;
  std::vector<Mount> mounts;
  std::vector<Device> devices;
  StringMap labels;
  StringMap annotations;
  std::string log_path;  // relative to the pod's log_directory
  bool stdin_open = false;
  bool stdin_once = false;
  bool tty = false;
  std::vector<std::string> cdi_devices;
  std::optional<int> stop_signal;  // Linux number; mapped from CRI's by name
  // linux.resources
  cgroupfs::Resources resources;
  std::optional<std::int64_t> oom_score_adj;
  // linux.security_context
  std::vector<std::string> add_capabilities, drop_capabilities, add_ambient_capabilities;
  bool privileged = false;
  std::optional<NamespaceOptions> namespaces;  // nullopt: the pod's
  std::optional<SelinuxOptions> selinux;
  std::optional<std::int64_t> run_as_user;
  std::optional<std::int64_t> run_as_group;
  std::string run_as_username;
  bool readonly_rootfs = false;
  std::vector<std::int64_t> supplemental_groups;
  bool strict_supplemental_groups = false;
  bool no_new_privs = false;
  std::vector<std::string> masked_paths, readonly_paths;
  std::optional<SecurityProfile> seccomp;  // nullopt: unconfined
  std::optional<SecurityProfile> apparmor;
};

// The user a container's process really runs as.
struct ResolvedUser {
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::vector<std::int64_t> supplemental_groups;
  std::string home;  // from passwd; "/" when unknown. HOME is set from it unless the image or request sets it
};

enum class PodState { kReady = 0, kNotReady = 1 };
enum class ContainerState { kCreated = 0, kRunning = 1, kExited = 2, kUnknown = 3 };

// One pod as List and Status show it: immutable, shared.
struct PodStatus {
  std::string id;
  PodState state = PodState::kNotReady;
  std::int64_t created_at = 0;  // wall clock, ns
  std::string runtime_handler;
  PodConfig config;
  std::vector<std::string> ips;   // primary first; empty for host network
  std::string network_namespace;  // path of the pin; empty for host network
  std::string cgroup;             // "/kubepods/…/pod<uid>"
  bool cgroup_is_ours = false;    // made by us: resized and removed by us
  std::string message;            // why it is not ready, for people
};

// How a container ended; from the exit record. Never changes once seen.
struct ContainerExit {
  std::int32_t exit_code = 0;
  std::string reason;  // Completed, Error, OOMKilled, StartError
  std::string message;
  std::int64_t finished_at = 0;
};

struct ContainerStatus {
  std::string id;
  std::string pod_id;
  ContainerState state = ContainerState::kUnknown;
  std::int64_t created_at = 0;
  std::int64_t started_at = 0;
  ContainerConfig config;  // resources as last updated
  std::string image_id;    // Image.id: the config's digest
  std::string image_ref;   // repo@digest when known, else the id
  std::string log_path;    // absolute; never empty
  int stop_signal = 15;    // effective, Linux number
  std::optional<ResolvedUser> user;
  std::int64_t pid = 0;  // init, host pid; 0 unless running
  std::string cgroup;    // "/kubepods/…/pod<uid>/<id>"
  std::optional<ContainerExit> exit;
};

}  // namespace berth::runtime
