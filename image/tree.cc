// SPDX-License-Identifier: Apache-2.0
#include "image/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/status.h"

namespace berth::image {
namespace {

constexpr std::size_t kMaxDepth = 256;

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

Dir OpenDir(int parent, const char* name) {
  base::UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return nullptr;
  Dir dir(::fdopendir(fd.get()));
  if (dir) (void)fd.Release();
  return dir;
}

bool IsDots(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

// Empties the directory `name` in `top`: what is not a directory is unlinked, directories that hold something
// move to `top` under fresh names, to be emptied in turn.
absl::Status EmptyInto(int top, const std::string& name, dev_t device, std::uint64_t& counter,
                       std::vector<std::string>& queue) {
  Dir dir = OpenDir(top, name.c_str());
  if (!dir)
    return errno == ENOENT ? absl::OkStatus()
                           : base::SyscallError(errno, absl::StrCat("open '", name, "' to remove it"));
  const int fd = ::dirfd(dir.get());
  struct stat self {};
  if (::fstat(fd, &self) != 0) return base::SyscallError(errno, absl::StrCat("stat '", name, "'"));
  if (self.st_dev != device) return base::SyscallError(EXDEV, absl::StrCat("'", name, "' is a mount"));
  while (const dirent* entry = ::readdir(dir.get())) {
    if (IsDots(entry->d_name)) continue;
    if (::unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM)
      return base::SyscallError(errno, absl::StrCat("remove '", entry->d_name, "'"));
    if (::unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
    if (errno != ENOTEMPTY && errno != EEXIST)
      return base::SyscallError(errno, absl::StrCat("remove directory '", entry->d_name, "'"));
    if (name == ".") {  // at the top already
      queue.emplace_back(entry->d_name);
      continue;
    }
    // Never looked like an id of ours or a name of an image: the tree's own top may hold anything.
    std::string moved;
    do {
      moved = absl::StrCat(".berth-remove-", counter++);
    } while (::faccessat(top, moved.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (::renameat(fd, entry->d_name, top, moved.c_str()) != 0) {
      return base::SyscallError(errno, absl::StrCat("move '", entry->d_name, "' to remove it"));
    }
    queue.push_back(std::move(moved));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RemoveDeepTree(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : base::SyscallError(errno, absl::StrCat("stat '", path, "'"));
  }
  if (!S_ISDIR(info.st_mode)) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return base::SyscallError(errno, absl::StrCat("remove '", path, "'"));
    return absl::OkStatus();
  }
  base::UniqueFd top(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return base::SyscallError(errno, absl::StrCat("open '", path, "'"));
  std::uint64_t counter = 0;
  std::vector<std::string> queue;
  BERTH_RETURN_IF_ERROR(base::Annotate(EmptyInto(top.get(), ".", info.st_dev, counter, queue), path));
  while (!queue.empty()) {
    const std::string name = std::move(queue.back());
    queue.pop_back();
    BERTH_FAULT_POINT("image.tree.remove");
    BERTH_RETURN_IF_ERROR(base::Annotate(EmptyInto(top.get(), name, info.st_dev, counter, queue), path));
    if (::unlinkat(top.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return base::SyscallError(errno, absl::StrCat("remove directory '", name, "' of '", path, "'"));
    }
  }
  BERTH_FAULT_POINT("image.tree.emptied");
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("remove '", path, "'"));
  return absl::OkStatus();
}

absl::StatusOr<TreeSize> MeasureTree(const std::string& path, const std::function<bool()>& stop) {
  TreeSize size;
  std::unordered_set<std::uint64_t> linked;  // inodes with several names, seen already
  auto count = [&](const struct stat& info) {
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !linked.insert(info.st_ino).second) return;
    size.bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
    ++size.inodes;
  };
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return base::SyscallError(errno, absl::StrCat("stat '", path, "'"));
  count(info);
  if (!S_ISDIR(info.st_mode)) return size;
  std::vector<Dir> stack;
  if (Dir dir = OpenDir(AT_FDCWD, path.c_str()); dir) stack.push_back(std::move(dir));
  int since_asked = 0;
  while (!stack.empty()) {
    if (++since_asked >= 256) {
      since_asked = 0;
      if (stop && stop()) return absl::CancelledError("stopped");
    }
    const dirent* entry = ::readdir(stack.back().get());
    if (entry == nullptr) {
      stack.pop_back();
      continue;
    }
    if (IsDots(entry->d_name)) continue;
    const int fd = ::dirfd(stack.back().get());
    // Gone meanwhile: the container is writing.
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    count(info);
    if (!S_ISDIR(info.st_mode) || stack.size() >= kMaxDepth) continue;
    if (Dir dir = OpenDir(fd, entry->d_name); dir) stack.push_back(std::move(dir));
  }
  return size;
}

}  // namespace berth::image
