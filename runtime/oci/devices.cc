// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using Resolved = SpecInput::ResolvedDevice;

constexpr std::size_t kMaxDevices = 16384;
constexpr int kMaxDepth = 16;

std::optional<Resolved> FromStat(const struct stat& st, const std::string& path,
                                 const std::string& permissions) {
  if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return std::nullopt;
  return Resolved{path,
                  S_ISCHR(st.st_mode) ? "c" : "b",
                  major(st.st_rdev),
                  minor(st.st_rdev),
                  st.st_mode & 07777,
                  st.st_uid,
                  st.st_gid,
                  permissions};
}

// Devices below `host`, links not followed: a link into another directory would be walked twice or for ever.
absl::Status Walk(const std::string& host, const std::string& inside, const std::string& permissions,
                  bool (*skip)(const std::string&), int depth, std::vector<Resolved>& out) {
  if (depth > kMaxDepth) return absl::OkStatus();
  const auto names = base::ListDir(host);
  if (!names.ok()) {
    if (base::IsGone(names.error().err)) return absl::OkStatus();
    return base::WithCode(absl::StatusCode::kInternal, base::ToStatus(names.error()), "looking for devices");
  }
  for (const std::string& name : *names) {
    if (skip != nullptr && depth == 0 && skip(name)) continue;
    const std::string path = host + "/" + name;
    struct stat st;
    if (lstat(path.c_str(), &st) != 0) continue;  // gone meanwhile
    if (S_ISDIR(st.st_mode)) {
      BERTH_RETURN_IF_ERROR(Walk(path, inside + "/" + name, permissions, skip, depth + 1, out));
    } else if (auto device = FromStat(st, inside + "/" + name, permissions)) {
      if (out.size() >= kMaxDevices)
        return absl::ResourceExhaustedError(absl::StrCat("more than ", kMaxDevices, " devices"));
      out.push_back(std::move(*device));
    }
  }
  return absl::OkStatus();
}

bool NotForContainers(const std::string& name) {
  static constexpr const char* kSkip[] = {"pts", "shm", "mqueue", "hugepages", "fd", "console", "ptmx",
                                          ".udev", ".lxc", ".lxd-mounts",
                                          // Every container has these from the OCI runtime.
                                          "null", "zero", "full", "random", "urandom", "tty"};
  return std::any_of(std::begin(kSkip), std::end(kSkip), [&](const char* skip) { return name == skip; });
}

absl::Status CheckPermissions(const Device& device) {
  for (const char c : device.permissions) {
    if (c != 'r' && c != 'w' && c != 'm') {
      return absl::InvalidArgumentError(absl::StrCat("device '", device.host_path, "' has the permissions '",
                                                     device.permissions, "': only r, w and m exist"));
    }
  }
  return absl::OkStatus();
}

// "shared:7 master:3" of the mount that holds `path`; nullopt when it cannot be told.
struct Peers {
  std::string mount_point;
  bool shared = false, slave = false;
};
std::optional<Peers> PeersOf(const std::string& path, const std::string& mountinfo) {
  struct statx stx;
  if (statx(AT_FDCWD, path.c_str(), AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx) != 0 ||
      (stx.stx_mask & STATX_MNT_ID) == 0)
    return std::nullopt;
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    std::uint64_t id = 0;
    if (fields.size() < 7 || !absl::SimpleAtoi(fields[0], &id) || id != stx.stx_mnt_id) continue;
    Peers peers{std::string(fields[4])};
    for (std::size_t i = 6; i < fields.size() && fields[i] != "-"; ++i) {
      if (fields[i].substr(0, 7) == "shared:") peers.shared = true;
      if (fields[i].substr(0, 7) == "master:") peers.slave = true;
    }
    return peers;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<Resolved>> HostDevices(const std::string& dir) {
  std::vector<Resolved> devices;
  BERTH_RETURN_IF_ERROR(Walk(dir, "/dev", "rwm", NotForContainers, 0, devices));
  return devices;
}

absl::StatusOr<std::vector<Resolved>> ResolveDevices(const ContainerConfig& container, bool host_devices) {
  std::vector<Resolved> devices;
  if (container.privileged && host_devices) {
    BERTH_ASSIGN_OR_RETURN(devices, HostDevices());
  }
  const auto put = [&](Resolved device) {
    // Asked for by name beats what privileged brings along.
    std::erase_if(devices, [&](const Resolved& other) { return other.path == device.path; });
    devices.push_back(std::move(device));
  };
  for (const Device& device : container.devices) {
    BERTH_RETURN_IF_ERROR(CheckPermissions(device));
    const std::string permissions = device.permissions.empty() ? "rwm" : device.permissions;
    const std::string inside =
        CleanPath(device.container_path.empty() ? device.host_path : device.container_path);
    struct stat st;
    if (device.host_path.empty() || stat(device.host_path.c_str(), &st) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("device '", device.host_path, "' cannot be had: ", std::strerror(errno)));
    }
    if (S_ISDIR(st.st_mode)) {
      std::vector<Resolved> below;
      BERTH_RETURN_IF_ERROR(
          Walk(device.host_path, inside == "/" ? "" : inside, permissions, nullptr, 0, below));
      if (below.empty())
        return absl::InvalidArgumentError(
            absl::StrCat("no device is in the directory '", device.host_path, "'"));
      for (Resolved& one : below) put(std::move(one));
    } else if (auto one = FromStat(st, inside, permissions)) {
      put(std::move(*one));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("'", device.host_path, "' is neither a device nor a directory of devices"));
    }
  }
  return devices;
}

absl::Status CheckMountSources(const ContainerConfig& container,
                               const std::function<void(const std::string& path)>& at) {
  std::optional<std::string> mountinfo;
  for (const Mount& mount : container.mounts) {
    if (mount.host_path.empty()) continue;  // an image's; BuildSpec judges it
    if (at) at(mount.host_path);
    struct stat st;
    if (stat(mount.host_path.c_str(), &st) != 0) {
      const int err = errno;
      return absl::InvalidArgumentError(absl::StrCat("host path '", mount.host_path, "' of the mount at '",
                                                     mount.container_path, "': ", std::strerror(err)));
    }
    if (mount.propagation == MountPropagation::kPrivate) continue;
    if (!mountinfo) {
      auto text = base::ReadFile("/proc/self/mountinfo", 16u << 20);
      if (!text.ok())
        return base::WithCode(absl::StatusCode::kInternal, base::ToStatus(text.error()),
                              "checking mount propagation");
      mountinfo = std::move(*text);
    }
    const auto peers = PeersOf(mount.host_path, *mountinfo);
    if (!peers) continue;  // a mount that came or went meanwhile: the OCI runtime will tell
    const bool wide = mount.propagation == MountPropagation::kBidirectional;
    if (peers->shared || (!wide && peers->slave)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "host path '", mount.host_path, "' is on '", peers->mount_point, "', which is not a shared ",
        wide ? "" : "or slave ", "mount: ", wide ? "bidirectional" : "host-to-container",
        " propagation needs one (mount --make-rshared ", peers->mount_point, ")"));
  }
  return absl::OkStatus();
}

}  // namespace berth::runtime::oci
