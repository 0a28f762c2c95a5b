// SPDX-License-Identifier: Apache-2.0
#include "image/shifted.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/idmap.h"
#include "base/status.h"
#include "image/tree.h"

namespace berth::image {
namespace {

std::string Lower(const std::string& directory) { return directory + "/lower"; }

}  // namespace

absl::Status UnmountShifted(const std::string& directory) {
  const auto names = base::ListDir(Lower(directory));
  if (!names.ok()) return base::IsGone(names.error().err) ? absl::OkStatus() : base::ToStatus(names.error());
  for (const auto& name : *names) {
    const std::string path = absl::StrCat(Lower(directory), "/", name);
    BERTH_RETURN_IF_ERROR(UnmountAll(path));
    if (::rmdir(path.c_str()) != 0) return base::SyscallError(errno, absl::StrCat("remove '", path, "'"));
  }
  if (::rmdir(Lower(directory).c_str()) != 0)
    return base::SyscallError(errno, absl::StrCat("remove '", Lower(directory), "'"));
  return absl::OkStatus();
}

absl::Status MountShifted(OverlayMount mount, const std::string& directory,
                          const std::string& user_namespace) {
  BERTH_ASSIGN_OR_RETURN(const auto user, base::ToStatusOr(base::OpenAt(AT_FDCWD, user_namespace, O_RDONLY)));
  const auto mapped = [&]() -> absl::Status {
    int number = 0;
    for (std::string& lower : mount.lower) {
      BERTH_ASSIGN_OR_RETURN(const auto clone, base::ToStatusOr(base::CloneIdmapped(
                                                   absl::StrCat(mount.base, "/", lower), user.get())));
      const std::string target = absl::StrCat(Lower(directory), "/", number++);
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(target)));
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::AttachMount(clone.get(), target)));
      lower = target;
    }
    BERTH_FAULT_POINT("image.rootfs.shifted");
    // Short names: as many layers as without a shift fit into the one page of options.
    const std::string from = mount.base;
    mount.base = Lower(directory);
    for (std::string& lower : mount.lower) lower = lower.substr(mount.base.size() + 1);
    for (std::string* path : {&mount.upper, &mount.work}) {
      if (path->front() != '/') *path = absl::StrCat(from, "/", *path);
    }
    return MountOverlay(mount);
  };
  const absl::Status status = mapped();
  const absl::Status unmounted = UnmountShifted(directory);
  return status.ok() ? unmounted : base::Annotate(status, "map the ids of the root file system");
}

absl::Status ProbeShifted(const std::string& directory, const std::string& user_namespace) {
  const auto tried = [&]() -> absl::Status {
    for (const char* part : {"layer", "upper", "work", "rootfs"})
      BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(absl::StrCat(directory, "/", part))));
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(directory + "/layer/file", "x")));
    BERTH_RETURN_IF_ERROR(MountShifted({directory, {"layer"}, "upper", "work", directory + "/rootfs"},
                                       directory, user_namespace));
    struct stat info {};
    const bool there = ::stat((directory + "/rootfs/file").c_str(), &info) == 0;
    BERTH_RETURN_IF_ERROR(UnmountAll(directory + "/rootfs"));
    if (there && info.st_uid != 0) return absl::OkStatus();
    return absl::UnavailableError("overlayfs does not heed the ids of its layers' mounts");
  };
  const absl::Status status = tried();
  const absl::Status removed = RemoveDeepTree(directory);
  return status.ok() ? removed : status;
}

}  // namespace berth::image
