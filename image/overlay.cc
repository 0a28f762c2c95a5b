// SPDX-License-Identifier: Apache-2.0
#include "image/overlay.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/refusal.h"
#include "base/status.h"
#include "image/tree.h"

namespace berth::image {
namespace {

// With index or metacopy on, a layer could not be shared between mounts; both are off unless the host's
// kernel was configured otherwise, so say it. Redirects that a layer brought (we unpack none) are not
// followed.
constexpr char kFeatures[] = "index=off,metacopy=off,redirect_dir=nofollow";
constexpr std::size_t kPage = 4096;

absl::Status Failed(int err, const OverlayMount& mount) {
  return base::SyscallError(
      err, absl::StrCat("mount overlay of ", mount.lower.size(), " layers on '", mount.target, "'"));
}

absl::Status MountByOptions(const OverlayMount& mount, const std::string& lower) {
  const std::string options =
      absl::StrCat("lowerdir=", lower, ",upperdir=", mount.upper, ",workdir=", mount.work, ",", kFeatures);
  if (options.size() >= kPage) return base::SyscallError(E2BIG, "overlay options do not fit a page");
  if (::mount("overlay", mount.target.c_str(), "overlay", 0, options.c_str()) != 0)
    return Failed(errno, mount);
  return absl::OkStatus();
}

absl::Status MountByConfig(const OverlayMount& mount) {
  if (BERTH_FAULT_FAILS("image.overlay.config"))
    return base::SyscallError(EINVAL, "fsconfig made to fail by a fault point");
  base::UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!context) return base::SyscallError(errno, "fsopen overlay");
  auto set = [&](const char* key, const std::string& value) -> absl::Status {
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0)
      return absl::OkStatus();
    return base::SyscallError(errno, absl::StrCat("overlay option ", key));
  };
  for (const auto& lower : mount.lower) BERTH_RETURN_IF_ERROR(set("lowerdir+", lower));
  BERTH_RETURN_IF_ERROR(set("upperdir", mount.upper));
  BERTH_RETURN_IF_ERROR(set("workdir", mount.work));
  BERTH_RETURN_IF_ERROR(set("index", "off"));
  BERTH_RETURN_IF_ERROR(set("metacopy", "off"));
  BERTH_RETURN_IF_ERROR(set("redirect_dir", "nofollow"));
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return Failed(errno, mount);
  base::UniqueFd made(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
  if (!made) return Failed(errno, mount);
  if (::syscall(SYS_move_mount, made.get(), "", AT_FDCWD, mount.target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return Failed(errno, mount);
  return absl::OkStatus();
}

absl::Status MountByDescriptors(const OverlayMount& mount) {
  std::vector<base::UniqueFd> held;
  std::vector<std::string> names;
  for (const auto& lower : mount.lower) {
    base::UniqueFd fd(::open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return base::SyscallError(errno, absl::StrCat("open layer '", lower, "'"));
    names.push_back(absl::StrCat("/proc/self/fd/", fd.get()));
    held.push_back(std::move(fd));
  }
  return MountByOptions(mount, absl::StrJoin(names, ":"));
}

absl::Status MountHere(const OverlayMount& mount) {
  const std::string lower = absl::StrJoin(mount.lower, ":");
  if (lower.size() + mount.upper.size() + mount.work.size() + sizeof kFeatures + 64 < kPage)
    return MountByOptions(mount, lower);
  absl::Status status = MountByConfig(mount);
  if (status.ok()) return status;
  // EINVAL: a kernel that does not know lowerdir+.
  if (base::ErrnoOf(status) != EINVAL && base::ErrnoOf(status) != ENOSYS) return status;
  return MountByDescriptors(mount);
}

}  // namespace

absl::Status MountOverlay(const OverlayMount& mount) {
  absl::Status status;
  // The working directory belongs to the process; this thread takes one of its own, and ends with it.
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0) {
      status = base::SyscallError(errno, "unshare the working directory");
    } else if (::chdir(mount.base.c_str()) != 0) {
      status = base::SyscallError(errno, absl::StrCat("enter '", mount.base, "'"));
    } else {
      status = MountHere(mount);
    }
  }).join();
  const auto err = base::ErrnoOf(status);
  const std::string cause = err ? base::LikelyCause(base::Refused::kOverlay, *err) : "";
  if (cause.empty()) return status;
  return base::SyscallError(*err, absl::StrCat(status.message(), " (", cause, ")"));
}

absl::Status UnmountAll(const std::string& path) {
  for (;;) {
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EINVAL || errno == ENOENT) return absl::OkStatus();
    return base::SyscallError(errno, absl::StrCat("unmount '", path, "'"));
  }
}

absl::Status ProbeOverlay(const std::string& directory) {
  auto tried = [&]() -> absl::Status {
    if (BERTH_FAULT_FAILS("image.overlay.probe"))
      return absl::UnavailableError("overlayfs made to fail by a fault point");
    for (const char* part : {"lower", "upper", "work", "rootfs"}) {
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(absl::StrCat(directory, "/", part))));
    }
    BERTH_RETURN_IF_ERROR(MountOverlay({directory, {"lower"}, "upper", "work", directory + "/rootfs"}));
    // Some file systems take the mount and refuse the writes (no trusted.* or no whiteouts on the upper).
    auto written = base::ToStatus(base::WriteFile(directory + "/rootfs/file", "x"));
    BERTH_RETURN_IF_ERROR(UnmountAll(directory + "/rootfs"));
    return written;
  };
  const absl::Status status = tried();
  const absl::Status removed = RemoveDeepTree(directory);
  return status.ok() ? removed : status;
}

}  // namespace berth::image
