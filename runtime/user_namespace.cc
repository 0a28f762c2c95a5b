// SPDX-License-Identifier: Apache-2.0
#include "runtime/user_namespace.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/idmap.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::runtime {
namespace {

std::string MappedDir(const ContainerPlaces& places) { return places.state + "/mapped"; }

bool IsMapped(const Mount& mount) { return !mount.uid_mappings.empty() && !mount.host_path.empty(); }

bool Same(const std::vector<IdMapping>& a, const std::vector<IdMapping>& b) {
  return a.size() == 1 && b.size() == 1 && a[0].host_id == b[0].host_id &&
         a[0].container_id == b[0].container_id && a[0].length == b[0].length;
}

absl::Status MakeTarget(const std::string& source, const std::string& target) {
  struct stat info {};
  if (::stat(source.c_str(), &info) != 0)
    return base::SyscallError(errno, absl::StrCat("stat '", source, "'"));
  return base::ToStatus(S_ISDIR(info.st_mode) ? base::MakeDirs(target) : base::WriteFile(target, ""));
}

}  // namespace

absl::Status CheckUserNamespace(const PodConfig& config, const oci::Handler& handler) {
  if (!config.namespaces.user_namespace) return absl::OkStatus();
  if (config.namespaces.pid == NamespaceMode::kNode) {
    return absl::InvalidArgumentError(
        "a pod with a user namespace cannot have the host's PID namespace: the kernel shows no /proc of it "
        "there");
  }
  if (handler.features.user_namespaces) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("user namespaces (hostUsers: false) do not work with runtime handler '", handler.name,
                   "' on this node: ", handler.features.no_user_namespaces));
}

std::optional<monitor::UserMap> UserMapOf(const PodConfig& config) {
  const NamespaceOptions& namespaces = config.namespaces;
  if (!namespaces.user_namespace || namespaces.uid_mappings.empty()) return std::nullopt;
  return monitor::UserMap{namespaces.uid_mappings[0].host_id, namespaces.uid_mappings[0].length};
}

std::optional<image::IdShift> ShiftOf(const PodConfig& config, const PodPlaces& places) {
  const auto map = UserMapOf(config);
  if (!map) return std::nullopt;
  return image::IdShift{places.pins + "/user", map->first, map->length};
}

absl::Status GiveToPod(const PodConfig& config, const std::string& path) {
  const auto map = UserMapOf(config);
  if (!map || ::chown(path.c_str(), map->first, map->first) == 0) return absl::OkStatus();
  return base::SyscallError(errno, absl::StrCat("give '", path, "' to the pod's user namespace"));
}

absl::Status CheckMountMappings(const PodConfig& pod, const ContainerConfig& container) {
  for (const Mount& mount : container.mounts) {
    if (mount.uid_mappings.empty() && mount.gid_mappings.empty()) continue;
    if (pod.namespaces.user_namespace && Same(mount.uid_mappings, pod.namespaces.uid_mappings) &&
        Same(mount.gid_mappings, pod.namespaces.gid_mappings)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat("mount at '", mount.container_path,
                                                   "' maps other ids than its pod",
                                                   pod.namespaces.user_namespace ? "" : ", which maps none"));
  }
  return absl::OkStatus();
}

std::string MappedSource(const ContainerPlaces& places, const ContainerConfig& config, std::size_t index) {
  return IsMapped(config.mounts[index]) ? absl::StrCat(MappedDir(places), "/", index) : std::string();
}

absl::Status MountMapped(const PodPlaces& pod, const ContainerPlaces& places, const ContainerConfig& config) {
  UnmountMapped(places);  // of an attempt that was cut off
  base::UniqueFd user;
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    const Mount& mount = config.mounts[i];
    if (!IsMapped(mount)) continue;
    if (!user) {
      BERTH_ASSIGN_OR_RETURN(user, base::ToStatusOr(base::OpenAt(AT_FDCWD, pod.pins + "/user", O_RDONLY)));
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(MappedDir(places))));
    }
    const std::string target = MappedSource(places, config, i);
    auto clone = base::CloneIdmapped(mount.host_path, user.get());
    if (!clone.ok()) {
      return base::WithCode(
          absl::StatusCode::kFailedPrecondition, base::ToStatus(clone.error()),
          absl::StrCat("the volume at '", mount.container_path,
                       "' is on a file system that cannot map ids, as a pod with hostUsers: false needs"));
    }
    BERTH_RETURN_IF_ERROR(MakeTarget(mount.host_path, target));
    BERTH_FAULT_POINT("runtime.mount_mapped");
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::AttachMount(clone->get(), target)));
  }
  return absl::OkStatus();
}

void UnmountMapped(const ContainerPlaces& places) {
  const auto names = base::ListDir(MappedDir(places));
  if (!names.ok()) return;  // nothing was mapped
  BERTH_FAULT_POINT("runtime.unmount_mapped");
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(MappedDir(places), "/", name);
    while (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    if (errno != EINVAL && errno != ENOENT)
      base::LogWarning("a mapped volume stays mounted",
                       {{"path", path}, {"error", base::SyscallError(errno, "umount")}});
  }
  if (const auto removed = base::RemoveTree(MappedDir(places)); !removed.ok())
    base::LogWarning("mapped volumes not cleaned up", {{"error", removed.error().Message()}});
}

}  // namespace berth::runtime
