// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <memory>

namespace berth::base {
namespace {

Error Failed(int err, std::string_view verb, std::string_view path) {
  return SyscallFailed(err, std::string(verb) + " '" + std::string(path) + "'");
}

std::string ParentOf(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string TempNameFor(const std::string& path) {
  static std::atomic<unsigned> counter{0};
  return path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter.fetch_add(1));
}

Result<void> WriteTemp(const std::string& temp, std::string_view content, mode_t mode, bool sync) {
  auto fd = OpenAt(AT_FDCWD, temp, O_WRONLY | O_CREAT | O_EXCL, Resolve::kAnywhere, mode);
  if (!fd) return fd.TakeError();
  if (::fchmod(fd->get(), mode) != 0) return Failed(errno, "chmod", temp);  // whatever our umask is
  if (auto written = WriteAll(fd->get(), content); !written) return written;
  if (sync && ::fsync(fd->get()) != 0) return Failed(errno, "fsync", temp);
  return {};
}

Result<void> Replace(const std::string& path, std::string_view content, mode_t mode, bool sync) {
  const std::string temp = TempNameFor(path);
  if (auto written = WriteTemp(temp, content, mode, sync); !written) {
    ::unlink(temp.c_str());
    return written;
  }
  if (::rename(temp.c_str(), path.c_str()) != 0) {
    const int err = errno;
    ::unlink(temp.c_str());
    return Failed(err, "rename to", path);
  }
  return sync ? FsyncDir(ParentOf(path)) : Result<void>();
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using UniqueDir = std::unique_ptr<DIR, DirCloser>;

// Takes `fd` over. Entries without "." and "..".
Result<std::vector<std::string>> Entries(UniqueFd fd, std::string_view path) {
  UniqueDir dir(::fdopendir(fd.get()));
  if (!dir) return Failed(errno, "read directory", path);
  (void)fd.Release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) {
      if (errno != 0) return Failed(errno, "read directory", path);
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> RemoveEntry(int parent, const std::string& name, dev_t device, const std::string& shown) {
  struct stat info {};
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Result<void>() : Result<void>(Failed(errno, "stat", shown));
  }
  if (!S_ISDIR(info.st_mode)) {
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) return Failed(errno, "remove", shown);
    return {};
  }
  if (info.st_dev != device) return Failed(EXDEV, "remove (another file system is mounted there)", shown);
  // A bind mount of the same file system has its device, too: the kernel is asked not to enter any.
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = parent == AT_FDCWD ? 0 : RESOLVE_NO_XDEV;
  UniqueFd dir(static_cast<int>(::syscall(SYS_openat2, parent, name.c_str(), &how, sizeof how)));
  if (!dir && errno == EXDEV) return Failed(errno, "remove (something is mounted there)", shown);
  if (!dir) return errno == ENOENT ? Result<void>() : Result<void>(Failed(errno, "open", shown));
  UniqueFd listing(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!listing) return Failed(errno, "open", shown);
  auto names = Entries(std::move(listing), shown);
  if (!names) return names.TakeError();
  for (const auto& child : *names) {
    if (auto removed = RemoveEntry(dir.get(), child, device, shown + "/" + child); !removed) return removed;
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return Failed(errno, "remove", shown);
  return {};
}

}  // namespace

Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, Resolve resolve, mode_t mode) {
  open_how how{};
  how.flags = static_cast<__u64>(flags) | O_CLOEXEC;
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  switch (resolve) {
    case Resolve::kAnywhere:
      break;
    case Resolve::kInRoot:
      how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
      break;
    case Resolve::kBeneath:
      how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
      break;
    case Resolve::kNoSymlinks:
      how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
      break;
  }
  for (;;) {
    // EAGAIN: a rename raced with ".." under RESOLVE_IN_ROOT/BENEATH; openat2(2) says to try again.
    const int fd = static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how));
    if (fd >= 0) return UniqueFd(fd);
    if (errno == EINTR || (errno == EAGAIN && how.resolve != 0)) continue;
    return Failed(errno, "open", path);
  }
}

Result<std::string> ReadFd(int fd, std::size_t cap) {
  std::string content;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EINTR) continue;
      return SyscallFailed(errno, "read");
    }
    if (got == 0) return content;
    if (content.size() + static_cast<std::size_t>(got) > cap) return SyscallFailed(EFBIG, "read");
    content.append(buffer, static_cast<std::size_t>(got));
  }
}

Result<std::string> ReadFileAt(int dir, const std::string& path, std::size_t cap) {
  auto fd = OpenAt(dir, path, O_RDONLY);
  if (!fd) return fd.TakeError();
  auto content = ReadFd(fd->get(), cap);
  if (!content) return Failed(content.error().err, "read", path);
  return content;
}

Result<std::string> ReadFile(const std::string& path, std::size_t cap) {
  return ReadFileAt(AT_FDCWD, path, cap);
}

Result<void> WriteAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return SyscallFailed(errno, "write");
    }
    data.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> WriteControlAt(int dir, const std::string& path, std::string_view value) {
  auto fd = OpenAt(dir, path, O_WRONLY);
  if (!fd) return fd.TakeError();
  ssize_t put = 0;
  do {
    put = ::write(fd->get(), value.data(), value.size());
  } while (put < 0 && errno == EINTR);
  if (put < 0) return Failed(errno, "write '" + std::string(value) + "' to", path);
  if (static_cast<std::size_t>(put) != value.size()) return Failed(EIO, "write (short) to", path);
  return {};
}

Result<void> WriteControl(const std::string& path, std::string_view value) {
  return WriteControlAt(AT_FDCWD, path, value);
}

Result<void> WriteFileDurable(const std::string& path, std::string_view content, mode_t mode) {
  return Replace(path, content, mode, true);
}

Result<void> WriteFile(const std::string& path, std::string_view content, mode_t mode) {
  return Replace(path, content, mode, false);
}

Result<void> FsyncDir(const std::string& path) {
  auto fd = OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.TakeError();
  if (::fsync(fd->get()) != 0) return Failed(errno, "fsync", path);
  return {};
}

Result<void> MakeDirs(const std::string& path, mode_t mode) {
  if (path.empty()) return {};
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) == 0) {
      if (::chmod(part.c_str(), mode) != 0) return Failed(errno, "chmod", part);  // whatever our umask is
    } else if (errno != EEXIST) {
      return Failed(errno, "create directory", part);
    }
    if (end == std::string::npos) break;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return Failed(errno, "stat", path);
  if (!S_ISDIR(info.st_mode)) return Failed(ENOTDIR, "create directory", path);
  return {};
}

Result<void> RemoveTree(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return IsGone(errno) ? Result<void>() : Result<void>(Failed(errno, "stat", path));
  }
  return RemoveEntry(AT_FDCWD, path, info.st_dev, path);
}

Result<std::vector<std::string>> ListDir(const std::string& path) {
  auto fd = OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.TakeError();
  return Entries(std::move(*fd), path);
}

bool Exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

bool IsGone(int err) { return err == ENOENT || err == ENODEV || err == ESRCH; }

}  // namespace berth::base
