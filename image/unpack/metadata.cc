// SPDX-License-Identifier: Apache-2.0
// Owners, modes, times, extended attributes; and the way of all of it to the disk.
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cstring>

#include "base/fault.h"
#include "base/files.h"
#include "image/unpack/extract.h"

namespace berth::image::unpack {

using base::Malformed;
using base::Resolve;
using base::Result;
using base::SyscallFailed;
using base::UniqueFd;

namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

Result<std::uint32_t> Owner(std::int64_t value, const char* what, const std::string& path) {
  // The last one, (uid_t)-1, means "unchanged" to chown(2).
  if (value < 0 || value >= 0xffffffffLL)
    return Malformed(std::string(what) + " " + std::to_string(value) + " of '" + path + "' is out of range");
  return static_cast<std::uint32_t>(value);
}

// Layers may set what a container could set itself, and file capabilities. Never trusted.*: overlayfs'
// redirects would make one layer show another's files; never security labels, which are the host's affair.
bool Wanted(std::string_view name) {
  return name == "security.capability" || (name.starts_with("user.") && !name.starts_with("user.overlay."));
}

}  // namespace

timespec MtimeOf(archive_entry* entry) {
  timespec time{};
  time.tv_sec = archive_entry_mtime(entry);
  time.tv_nsec = archive_entry_mtime_nsec(entry);
  if (time.tv_nsec < 0 || time.tv_nsec > 999'999'999) time.tv_nsec = 0;
  return time;
}

Result<void> Extractor::Xattrs(const Place& place, archive_entry* entry, int fd) {
  if (archive_entry_xattr_reset(entry) > limits_.max_xattrs) {
    return Malformed("'" + place.path + "' has more than " + std::to_string(limits_.max_xattrs) +
                     " extended attributes");
  }
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr || !Wanted(name)) continue;
    if (size > limits_.max_xattr_size || std::strlen(name) > 255)
      return Malformed("an extended attribute of '" + place.path + "' is too large");
    int result = 0;
    if (fd >= 0) {
      result = ::fsetxattr(fd, name, value, size, 0);
    } else {
      // No call takes a directory and a name; nobody else moves our working directory.
      if (::fchdir(place.parent) != 0)
        return SyscallFailed(errno, "enter '" + place.parent_path + "' of the layer");
      result = ::lsetxattr(place.name.c_str(), name, value, size, 0);
    }
    if (result == 0) continue;
    // user.* on anything but files and directories is EPERM by definition; other file systems take none, or
    // less.
    if (errno == EOPNOTSUPP || (std::string_view(name).starts_with("user.") &&
                                (errno == EPERM || errno == ENOSPC || errno == E2BIG))) {
      ++report_.xattrs_dropped;
      continue;
    }
    if (errno == EINVAL)
      return Malformed("extended attribute '" + std::string(name) + "' of '" + place.path + "' is malformed");
    return SyscallFailed(errno, "set '" + std::string(name) + "' of '" + place.path + "'");
  }
  return {};
}

Result<void> Extractor::SetByFd(int fd, const Place& place, archive_entry* entry) {
  auto uid = Owner(archive_entry_uid(entry), "owner", place.path);
  auto gid = Owner(archive_entry_gid(entry), "group", place.path);
  if (!uid) return uid.TakeError();
  if (!gid) return gid.TakeError();
  // In this order: chown clears setuid bits and file capabilities.
  if (::fchown(fd, *uid, *gid) != 0) return SyscallFailed(errno, "set the owner of '" + place.path + "'");
  if (::fchmod(fd, archive_entry_perm(entry) & 07777) != 0)
    return SyscallFailed(errno, "set the mode of '" + place.path + "'");
  return Xattrs(place, entry, fd);
}

Result<void> Extractor::SetByName(const Place& place, archive_entry* entry, bool symlink) {
  auto uid = Owner(archive_entry_uid(entry), "owner", place.path);
  auto gid = Owner(archive_entry_gid(entry), "group", place.path);
  if (!uid) return uid.TakeError();
  if (!gid) return gid.TakeError();
  const char* name = place.name.c_str();
  if (::fchownat(place.parent, name, *uid, *gid, AT_SYMLINK_NOFOLLOW) != 0)
    return SyscallFailed(errno, "set the owner of '" + place.path + "'");
  if (!symlink && ::fchmodat(place.parent, name, archive_entry_perm(entry) & 07777, 0) != 0) {
    return SyscallFailed(errno, "set the mode of '" + place.path + "'");
  }
  if (auto set = Xattrs(place, entry, -1); !set) return set;
  const timespec times[2] = {MtimeOf(entry), MtimeOf(entry)};
  if (::utimensat(place.parent, name, times, AT_SYMLINK_NOFOLLOW) != 0)
    return SyscallFailed(errno, "set the time of '" + place.path + "'");
  return {};
}

// Last, since each entry made inside a directory moves its time.
Result<void> Extractor::DirectoryTimes() {
  for (const auto& [path, mtime] : times_) {
    auto fd =
        base::OpenAt(root_, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kInRoot);
    if (!fd) continue;  // replaced by a later entry
    const timespec times[2] = {mtime, mtime};
    if (::futimens(fd->get(), times) != 0) return SyscallFailed(errno, "set the time of '" + path + "'");
  }
  times_.clear();
  return {};
}

namespace {

// Calls `visit` for each entry of a directory, with its kind.
template <typename Visit>
Result<void> ForEach(int directory, Visit visit) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return SyscallFailed(errno, "open a directory of the layer");
  Dir dir(::fdopendir(copy.get()));
  if (!dir) return SyscallFailed(errno, "read a directory of the layer");
  (void)copy.Release();
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr)
      return errno == 0 ? Result<void>() : SyscallFailed(errno, "read a directory of the layer");
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    if (::fstatat(directory, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      return SyscallFailed(errno, "stat '" + std::string(name) + "'");
    if (auto visited = visit(entry->d_name, info.st_mode); !visited) return visited;
  }
}

}  // namespace

// Directories are opened by path from the root, not one inside the other, so depth costs no descriptors.
Result<void> Extractor::RemoveDirectory(int parent, const std::string& name) {
  std::vector<std::string> directories{name};
  for (std::size_t i = 0; i < directories.size(); ++i) {
    const std::string path = directories[i];
    auto fd = base::OpenAt(parent, path, O_RDONLY | O_DIRECTORY, Resolve::kNoSymlinks);
    if (!fd) return SyscallFailed(fd.error().err, "open '" + path + "' to replace it");
    auto emptied = ForEach(fd->get(), [&](const char* child, mode_t mode) -> Result<void> {
      if (S_ISDIR(mode)) {
        directories.push_back(path + "/" + child);
      } else if (::unlinkat(fd->get(), child, 0) != 0) {
        return SyscallFailed(errno, "remove '" + path + "/" + child + "' of the layer");
      }
      return {};
    });
    if (!emptied) return emptied;
  }
  for (auto path = directories.rbegin(); path != directories.rend(); ++path) {
    const auto slash = path->find_last_of('/');
    auto holder = slash == std::string::npos ? Result<UniqueFd>(UniqueFd())
                                             : base::OpenAt(parent, path->substr(0, slash),
                                                            O_RDONLY | O_DIRECTORY, Resolve::kNoSymlinks);
    if (!holder) return holder.TakeError();
    const int at = slash == std::string::npos ? parent : holder->get();
    if (::unlinkat(at, path->c_str() + (slash == std::string::npos ? 0 : slash + 1), AT_REMOVEDIR) != 0) {
      return SyscallFailed(errno, "remove directory '" + *path + "' of the layer");
    }
  }
  return {};
}

Result<void> SyncTree(int root, bool whole_file_system) {
  BERTH_FAULT_POINT("unpack.sync");
  if (whole_file_system) {
    if (::syncfs(root) != 0) return SyscallFailed(errno, "syncfs of the layer's file system");
    return {};
  }
  std::vector<std::string> directories{"."};
  for (std::size_t i = 0; i < directories.size(); ++i) {
    const std::string path = directories[i];
    auto fd = base::OpenAt(root, path, O_RDONLY | O_DIRECTORY, Resolve::kNoSymlinks);
    if (!fd) return fd.TakeError();
    auto synced = ForEach(fd->get(), [&](const char* child, mode_t mode) -> Result<void> {
      if (S_ISDIR(mode)) directories.push_back(path + "/" + child);
      if (!S_ISREG(mode)) return {};
      UniqueFd file(::openat(fd->get(), child, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (!file || ::fsync(file.get()) != 0)
        return SyscallFailed(errno, "fsync '" + path + "/" + child + "'");
      return {};
    });
    if (!synced) return synced;
    if (::fsync(fd->get()) != 0) return SyscallFailed(errno, "fsync '" + path + "'");
  }
  return {};
}

}  // namespace berth::image::unpack
