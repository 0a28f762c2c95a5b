// SPDX-License-Identifier: Apache-2.0
// `mounts`: the kernel's file systems, the pod's files, and what the request asks for, parents before
// children.
#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

struct Entry {
  std::string destination;
  json mount;
};

Entry Make(const std::string& destination, const std::string& type, const std::string& source,
           std::vector<std::string> options) {
  return {
      destination,
      {{"destination", destination}, {"type", type}, {"source", source}, {"options", std::move(options)}}};
}

// /proc, /dev and friends.
std::vector<Entry> KernelMounts(const SpecInput& input) {
  const NamespaceOptions& ns = input.namespaces;
  const std::string access = input.container->privileged ? "rw" : "ro";
  std::vector<Entry> mounts;
  mounts.push_back(Make("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  mounts.push_back(Make("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  std::vector<std::string> pts = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  // Group 5 is "tty" everywhere; a user namespace must have it mapped, or devpts refuses the option.
  const bool tty_mapped = !ns.user_namespace ||
                          std::any_of(ns.gid_mappings.begin(), ns.gid_mappings.end(), [](const IdMapping& m) {
                            return m.container_id <= 5 && 5 - m.container_id < m.length;
                          });
  if (tty_mapped) pts.push_back("gid=5");
  mounts.push_back(Make("/dev/pts", "devpts", "devpts", std::move(pts)));
  // Both belong to the IPC namespace. The host's needs the host's own mounts when we sit in another user
  // namespace.
  if (ns.ipc == NamespaceMode::kNode) {
    mounts.push_back(
        Make("/dev/shm", "bind", "/dev/shm", {"rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"}));
    if (ns.user_namespace) {
      mounts.push_back(Make("/dev/mqueue", "bind", "/dev/mqueue",
                            {"rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"}));
    } else {
      mounts.push_back(Make("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
    }
  } else {
    if (!input.paths.shm.empty()) {
      mounts.push_back(Make("/dev/shm", "bind", input.paths.shm,
                            {"rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"}));
    }
    mounts.push_back(Make("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  }
  if (ns.network == NamespaceMode::kNode && ns.user_namespace) {
    // sysfs belongs to the network namespace's owner: a fresh one is EPERM here. Recursive, because its
    // submounts are locked together.
    mounts.push_back(
        Make("/sys", "bind", "/sys", {"rbind", "rprivate", access, "nosuid", "noexec", "nodev"}));
  } else {
    mounts.push_back(Make("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}));
  }
  mounts.push_back(
      Make("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", access}));
  return mounts;
}

absl::Status CheckAsked(const Mount& mount, const std::string& source, const SpecInput& input) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("mount at '", mount.container_path, "' ", absl::string_view(why.data(), why.size())));
  };
  if (mount.container_path.empty()) return absl::InvalidArgumentError("a mount has no container path");
  if (mount.container_path.find('\0') != std::string::npos ||
      mount.host_path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("a mount's path contains a NUL byte");
  }
  if (CleanPath(mount.container_path) == "/") return bad("would hide the whole root file system");
  if (mount.image && !mount.image->image.empty()) {
    if (!mount.host_path.empty()) return bad("names both an image and a host path");
    if (!mount.readonly) return bad("is an image volume, which must be read-only");
    if (source.empty())
      return absl::InternalError("the image volume at '" + mount.container_path + "' was not made");
  } else if (mount.host_path.empty()) {
    return bad("has neither a host path nor an image");
  } else if (mount.host_path[0] != '/') {
    return bad("has a host path that is not absolute: '" + mount.host_path + "'");
  }
  if (mount.recursive_read_only) {
    if (!mount.readonly) return bad("is recursively read-only but not read-only");
    if (mount.propagation != MountPropagation::kPrivate)
      return bad("is recursively read-only, which needs private propagation");
    if (!input.handler->features.recursive_read_only_mounts) {
      return absl::FailedPreconditionError(
          absl::StrCat("mount at '", mount.container_path,
                       "': recursively read-only mounts are not possible with handler '", input.handler->name,
                       "' on this host"));
    }
  }
  for (const std::string& option : mount.mount_options) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return bad("has the option '" + option + "': only noexec, nodev and nosuid may be asked for");
    }
  }
  return absl::OkStatus();
}

// `source` has the mapping of ids, if any is asked for: berthd maps the mounts of a pod with a user namespace
// itself, since Debian's OCI runtimes cannot.
Entry AskedMount(const Mount& mount, const std::string& source) {
  std::vector<std::string> options = {"rbind"};
  switch (mount.propagation) {
    case MountPropagation::kPrivate:
      options.push_back("rprivate");
      break;
    case MountPropagation::kHostToContainer:
      options.push_back("rslave");
      break;
    case MountPropagation::kBidirectional:
      options.push_back("rshared");
      break;
  }
  options.push_back(mount.readonly ? "ro" : "rw");
  if (mount.recursive_read_only) options.push_back("rro");
  // Programs of the other image may be run (critest wants that), but give nobody rights.
  if (mount.image) options.insert(options.end(), {"nosuid", "nodev"});
  for (const std::string& option : mount.mount_options) {
    if (std::find(options.begin(), options.end(), option) == options.end()) options.push_back(option);
  }
  return Make(CleanPath(mount.container_path), "bind", source, std::move(options));
}

std::size_t Depth(const std::string& path) { return std::count(path.begin(), path.end(), '/'); }

bool IsAtOrBelow(const std::string& path, const std::string& parent) {
  return path == parent || (path.size() > parent.size() && path.compare(0, parent.size(), parent) == 0 &&
                            path[parent.size()] == '/');
}

}  // namespace

std::string CleanPath(const std::string& path) {
  std::vector<std::string> parts;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string clean;
  for (const std::string& part : parts) absl::StrAppend(&clean, "/", part);
  return clean.empty() ? "/" : clean;
}

absl::StatusOr<Mounts> BuildMounts(const SpecInput& input) {
  std::vector<Entry> pool;
  const auto pod_file = [&](const char* destination, const std::string& source, bool readonly) {
    const auto& asked = input.container->mounts;
    if (source.empty() || std::any_of(asked.begin(), asked.end(), [&](const Mount& m) {
          return CleanPath(m.container_path) == destination;
        }))
      return;
    pool.push_back(Make(destination, "bind", source, {"rbind", "rprivate", readonly ? "ro" : "rw"}));
  };
  pod_file("/etc/hosts", input.paths.hosts, input.container->readonly_rootfs);
  pod_file("/etc/hostname", input.paths.hostname, input.container->readonly_rootfs);
  pod_file("/etc/resolv.conf", input.paths.resolv_conf, input.container->readonly_rootfs);

  if (input.defaults != nullptr && !input.defaults->timezone_file.empty())
    pod_file("/etc/localtime", input.defaults->timezone_file, true);

  for (const auto& [place, source] : input.paths.volumes)
    pool.push_back(Make(place, "bind", source, {"rbind", "rprivate", "rw"}));

  std::string propagation;
  std::vector<std::string> asked_paths;
  const std::vector<std::string>& sources = input.paths.mount_sources;
  for (std::size_t i = 0; i < input.container->mounts.size(); ++i) {
    const Mount& mount = input.container->mounts[i];
    const std::string& source = i < sources.size() && !sources[i].empty() ? sources[i] : mount.host_path;
    BERTH_RETURN_IF_ERROR(CheckAsked(mount, source, input));
    pool.push_back(AskedMount(mount, source));
    asked_paths.push_back(pool.back().destination);
    // The root must let through what its mounts are to send or get.
    if (mount.propagation == MountPropagation::kBidirectional) propagation = "rshared";
    if (mount.propagation == MountPropagation::kHostToContainer && propagation.empty())
      propagation = "rslave";
  }
  std::stable_sort(pool.begin(), pool.end(), [](const Entry& a, const Entry& b) {
    return Depth(a.destination) < Depth(b.destination);
  });

  Mounts result;
  result.list = json::array();
  result.rootfs_propagation = propagation;
  // What the request mounts takes the place of ours there and below: a requested /dev brings its own
  // /dev/shm.
  for (Entry& entry : KernelMounts(input)) {
    const bool replaced = std::any_of(asked_paths.begin(), asked_paths.end(), [&](const std::string& path) {
      return IsAtOrBelow(entry.destination, path);
    });
    if (!replaced) result.list.push_back(std::move(entry.mount));
  }
  for (Entry& entry : pool) result.list.push_back(std::move(entry.mount));
  for (const json& mount : result.list) {
    try {
      (void)mount.dump();
    } catch (const json::exception&) {
      return absl::InvalidArgumentError(
          "a mount's path is not UTF-8, and the OCI runtime's specification cannot carry it");
    }
  }
  return result;
}

}  // namespace berth::runtime::oci
