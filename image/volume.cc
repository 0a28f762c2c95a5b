// SPDX-License-Identifier: Apache-2.0
#include "image/volume.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/status.h"
#include "image/copy_tree.h"

namespace berth::image {
namespace {

absl::StatusOr<base::UniqueFd> OpenInside(const std::string& rootfs, const std::string& path, int flags) {
  BERTH_ASSIGN_OR_RETURN(const auto root,
                         base::ToStatusOr(base::OpenAt(AT_FDCWD, rootfs, O_PATH | O_DIRECTORY)));
  auto opened = base::OpenAt(root.get(), path, flags, base::Resolve::kInRoot);
  if (opened.ok()) return std::move(*opened);
  if (base::IsGone(opened.error().err))
    return absl::NotFoundError(absl::StrCat("'", path, "' is not in the image"));
  return base::ToStatus(opened.error());
}

}  // namespace

absl::Status FillVolume(const std::string& rootfs, const std::string& path, const std::string& target) {
  BERTH_ASSIGN_OR_RETURN(const auto source, OpenInside(rootfs, path, O_RDONLY | O_DIRECTORY));
  struct stat info {};
  if (::fstat(source.get(), &info) != 0) return base::SyscallError(errno, absl::StrCat("stat '", path, "'"));
  BERTH_FAULT_POINT("image.volume");
  BERTH_RETURN_IF_ERROR(ApplyLayer(absl::StrCat("/proc/self/fd/", source.get()), target));
  if (::chown(target.c_str(), info.st_uid, info.st_gid) != 0 ||
      ::chmod(target.c_str(), info.st_mode & 07777) != 0)
    return base::SyscallError(errno, absl::StrCat("set owner and mode of '", target, "'"));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ResolveInside(const std::string& rootfs, const std::string& sub_path) {
  const std::vector<std::string> parts = absl::StrSplit(sub_path, '/');
  for (const std::string& part : parts) {
    if (part != ".." && (sub_path.empty() || sub_path[0] != '/')) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "'", sub_path, "' is no path below the image's root: it must be relative and without '..'"));
  }
  BERTH_ASSIGN_OR_RETURN(const auto found, OpenInside(rootfs, sub_path.empty() ? "." : sub_path, O_PATH));
  char path[PATH_MAX];
  const ssize_t length =
      ::readlink(absl::StrCat("/proc/self/fd/", found.get()).c_str(), path, sizeof path - 1);
  if (length < 0) return base::SyscallError(errno, absl::StrCat("find '", sub_path, "'"));
  return std::string(path, static_cast<std::size_t>(length));
}

}  // namespace berth::image
