// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/relabel.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/status.h"

namespace berth::runtime::security {
namespace {

constexpr char kAttribute[] = "security.selinux";

absl::Status CheckPlace(const std::string& path) {
  static constexpr std::array<std::string_view, 18> kSystem = {
      "/",     "/bin",  "/boot", "/dev",  "/etc", "/home", "/lib", "/lib64", "/opt",
      "/proc", "/root", "/run",  "/sbin", "/srv", "/sys",  "/tmp", "/usr",   "/var"};
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (real == nullptr) return base::SyscallError(errno, absl::StrCat("find '", path, "'"));
  if (std::find(kSystem.begin(), kSystem.end(), std::string_view(real.get())) == kSystem.end())
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "'", path, "' is a directory of the system: relabelling it would lock the node out of its files"));
}

constexpr int kMaxDepth = 512;

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// By descriptors: another container may be moving directories and links about in the very same volume.
class Labeller {
 public:
  Labeller(const std::string& label, const std::function<bool()>& stop, dev_t device)
      : label_(label), stop_(stop), device_(device) {}

  // The entry itself; the l*xattr calls follow no link at a path's end, and the parent is a descriptor.
  absl::Status One(const std::string& path, const std::string& shown) {
    if (stop_ && stop_())
      return absl::CancelledError(absl::StrCat("relabelling was called off at '", shown, "'"));
    char there[256];
    const ssize_t length = ::lgetxattr(path.c_str(), kAttribute, there, sizeof there);
    // With or without the NUL that the kernel's own labels end with.
    if (length >= 0 && std::string_view(there, ::strnlen(there, static_cast<std::size_t>(length))) == label_)
      return absl::OkStatus();
    if (::lsetxattr(path.c_str(), kAttribute, label_.c_str(), label_.size() + 1, 0) == 0)
      return absl::OkStatus();
    if (errno == EOPNOTSUPP || errno == ENOENT) return absl::OkStatus();
    return base::SyscallError(errno, absl::StrCat("label '", shown, "'"));
  }

  absl::Status Below(base::UniqueFd directory, const std::string& shown, int depth) {
    if (depth > kMaxDepth)
      return absl::FailedPreconditionError(absl::StrCat("'", shown, "' is nested too deeply"));
    const std::unique_ptr<DIR, DirCloser> dir(::fdopendir(directory.get()));
    if (dir == nullptr) return base::SyscallError(errno, absl::StrCat("read '", shown, "'"));
    const int fd = directory.Release();
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      const std::string below = absl::StrCat(shown, "/", name);
      struct stat info {};
      if (::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_dev != device_) continue;
      BERTH_RETURN_IF_ERROR(One(absl::StrCat("/proc/self/fd/", fd, "/", name), below));
      if (!S_ISDIR(info.st_mode)) continue;
      base::UniqueFd child(::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!child && errno == ENOENT) continue;
      if (!child) return base::SyscallError(errno, absl::StrCat("open '", below, "'"));
      BERTH_RETURN_IF_ERROR(Below(std::move(child), below, depth + 1));
    }
    return absl::OkStatus();
  }

 private:
  const std::string& label_;
  const std::function<bool()>& stop_;
  const dev_t device_;
};

}  // namespace

std::string ProcessLabel(const SelinuxOptions& options) {
  const auto part = [](const std::string& text, const char* otherwise) {
    return text.empty() ? otherwise : text.c_str();
  };
  return absl::StrCat(part(options.user, "system_u"), ":", part(options.role, "system_r"), ":",
                      part(options.type, "container_t"), ":", part(options.level, "s0"));
}

std::string FileLabel(const std::string& process_label) {
  std::size_t level = 0;
  for (int colons = 0; colons < 3; ++colons) level = process_label.find(':', level) + 1;
  return process_label.substr(0, process_label.find(':')) +
         ":object_r:container_file_t:" + process_label.substr(level);
}

absl::Status Relabel(const std::string& path, const std::string& label, const std::function<bool()>& stop) {
  BERTH_RETURN_IF_ERROR(CheckPlace(path));
  base::UniqueFd root(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!root || ::fstat(root.get(), &info) != 0)
    return base::SyscallError(errno, absl::StrCat("open '", path, "'"));
  BERTH_FAULT_POINT("security.relabel");
  Labeller labeller(label, stop, info.st_dev);
  const std::string self = absl::StrCat("/proc/self/fd/", root.get());
  // The volume itself may be named by a link: its target is meant.
  if (::setxattr(self.c_str(), kAttribute, label.c_str(), label.size() + 1, 0) != 0 && errno != EOPNOTSUPP)
    return base::SyscallError(errno, absl::StrCat("label '", path, "'"));
  return S_ISDIR(info.st_mode) ? labeller.Below(std::move(root), path, 0) : absl::OkStatus();
}

}  // namespace berth::runtime::security
