// SPDX-License-Identifier: Apache-2.0
#include "image/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/status.h"
#include "image/tree.h"

namespace berth::image {
namespace {

using base::UniqueFd;
constexpr char kOpaque[] = "trusted.overlay.opaque";

absl::Status Failed(absl::string_view verb, absl::string_view name) {
  const int err = errno;
  // The usual reason here, and one that its reader can act on.
  if (err == ENOSPC || err == EDQUOT)
    return absl::ResourceExhaustedError(
        absl::StrCat("disk full: ", verb, " '", name, "' of a root file system"));
  return base::SyscallError(err, absl::StrCat(verb, " '", name, "'"));
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

absl::StatusOr<std::vector<std::string>> Names(int directory) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return Failed("open", ".");
  std::unique_ptr<DIR, DirCloser> dir(::fdopendir(copy.get()));
  if (!dir) return Failed("read", ".");
  (void)copy.Release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return Failed("read", ".");
  return names;
}

// A path to an entry for the calls that take no directory: through its parent's descriptor, the last part
// never followed by the l*xattr calls.
std::string ProcPath(int directory, const std::string& name) {
  return absl::StrCat("/proc/self/fd/", directory, "/", name);
}

absl::Status CopyXattrs(int from, int to, const std::string& name) {
  const std::string source = ProcPath(from, name);
  const std::string target = ProcPath(to, name);
  std::vector<char> list(65536);
  const ssize_t length = ::llistxattr(source.c_str(), list.data(), list.size());
  if (length < 0) return errno == EOPNOTSUPP ? absl::OkStatus() : Failed("list attributes of", name);
  std::vector<char> value(65536);
  for (const char* key = list.data(); key < list.data() + length;
       key += std::char_traits<char>::length(key) + 1) {
    const std::string_view text = key;
    if (!text.starts_with("user.") && text != "security.capability") continue;
    const ssize_t size = ::lgetxattr(source.c_str(), key, value.data(), value.size());
    if (size < 0) return Failed("read an attribute of", name);
    if (::lsetxattr(target.c_str(), key, value.data(), static_cast<std::size_t>(size), 0) != 0 &&
        errno != EOPNOTSUPP) {
      return Failed("set an attribute of", name);
    }
  }
  return absl::OkStatus();
}

absl::Status CopyMetadata(int from, int to, const std::string& name, const struct stat& info) {
  if (::fchownat(to, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("set the owner of", name);
  if (!S_ISLNK(info.st_mode) && ::fchmodat(to, name.c_str(), info.st_mode & 07777, 0) != 0)
    return Failed("set the mode of", name);
  BERTH_RETURN_IF_ERROR(CopyXattrs(from, to, name));
  const timespec times[2] = {info.st_atim, info.st_mtim};
  if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return Failed("set the time of", name);
  return absl::OkStatus();
}

// As copy_file_range, which is EXDEV between file systems of different types (an overlay and the disk).
ssize_t CopySome(int from, off_t* in, int to, off_t* out, std::size_t size) {
  const ssize_t copied = ::copy_file_range(from, in, to, out, size, 0);
  if (copied >= 0 || (errno != EXDEV && errno != EOPNOTSUPP)) return copied;
  if (::lseek(to, *out, SEEK_SET) < 0) return -1;
  const ssize_t sent = ::sendfile(to, from, in, size);
  if (sent > 0) *out += sent;
  return sent;
}

absl::Status CopyData(int from, int to, const std::string& name, off_t size) {
  UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!source) return Failed("open", name);
  UniqueFd target(::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target) return Failed("create", name);
  if (::ftruncate(target.get(), size) != 0) return Failed("set the length of", name);
  off_t at = 0;
  while (at < size) {  // data only: holes stay holes
    off_t begin = ::lseek(source.get(), at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;
    if (begin < 0) return Failed("seek in", name);
    const off_t end = ::lseek(source.get(), begin, SEEK_HOLE);
    if (end < 0) return Failed("seek in", name);
    at = end;
    off_t in = begin;
    off_t out = begin;
    while (in < end) {
      const ssize_t copied =
          CopySome(source.get(), &in, target.get(), &out, static_cast<std::size_t>(end - in));
      if (copied < 0 && errno == EINTR) continue;
      if (copied < 0) return Failed("copy", name);
      if (copied == 0) break;
    }
  }
  return absl::OkStatus();
}

// Layers are nested no deeper than 512 (berth-unpack sees to it); recursion and descriptors are bounded by
// that.
class LayerCopy {
 public:
  explicit LayerCopy(int target) : target_root_(target) {}

  absl::Status Directory(int from, int to, const std::string& path) {
    char mark = 0;
    if (::fgetxattr(from, kOpaque, &mark, 1) == 1 && mark == 'y') BERTH_RETURN_IF_ERROR(Clear(to));
    BERTH_ASSIGN_OR_RETURN(const auto names, Names(from));
    for (const auto& name : names)
      BERTH_RETURN_IF_ERROR(Entry(from, to, name, path.empty() ? name : path + "/" + name));
    return absl::OkStatus();
  }

 private:
  absl::Status Clear(int directory) {
    BERTH_ASSIGN_OR_RETURN(const auto names, Names(directory));
    for (const auto& name : names) BERTH_RETURN_IF_ERROR(RemoveDeepTree(ProcPath(directory, name)));
    return absl::OkStatus();
  }

  absl::Status Entry(int from, int to, const std::string& name, const std::string& path) {
    struct stat info {};
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return Failed("stat", path);
    struct stat there {};
    const bool exists = ::fstatat(to, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists && !(S_ISDIR(info.st_mode) && S_ISDIR(there.st_mode)))
      BERTH_RETURN_IF_ERROR(RemoveDeepTree(ProcPath(to, name)));
    if (S_ISCHR(info.st_mode) && info.st_rdev == 0) return absl::OkStatus();  // a whiteout: gone it is
    if (S_ISDIR(info.st_mode)) return Subdirectory(from, to, name, path, info);
    if (info.st_nlink > 1) {
      if (const auto first = links_.find(info.st_ino); first != links_.end()) {
        if (::linkat(target_root_, first->second.c_str(), to, name.c_str(), 0) != 0)
          return Failed("link", path);
        return absl::OkStatus();
      }
      links_[info.st_ino] = path;
    }
    if (S_ISREG(info.st_mode)) {
      BERTH_RETURN_IF_ERROR(CopyData(from, to, name, info.st_size));
    } else if (S_ISLNK(info.st_mode)) {
      std::string text(static_cast<std::size_t>(info.st_size) + 1, '\0');
      const ssize_t length = ::readlinkat(from, name.c_str(), text.data(), text.size());
      if (length < 0) return Failed("read link", path);
      text.resize(static_cast<std::size_t>(length));
      if (::symlinkat(text.c_str(), to, name.c_str()) != 0) return Failed("link", path);
    } else if (::mknodat(to, name.c_str(), info.st_mode & (S_IFMT | 0600), info.st_rdev) != 0) {
      return Failed("make device or pipe", path);
    }
    return CopyMetadata(from, to, name, info);
  }

  absl::Status Subdirectory(int from, int to, const std::string& name, const std::string& path,
                            const struct stat& info) {
    if (::mkdirat(to, name.c_str(), 0700) != 0 && errno != EEXIST) return Failed("create directory", path);
    UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    UniqueFd target(::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!source || !target) return Failed("open directory", path);
    BERTH_RETURN_IF_ERROR(Directory(source.get(), target.get(), path));
    return CopyMetadata(from, to, name, info);
  }

  const int target_root_;
  std::map<ino_t, std::string> links_;  // first name of each inode with several
};

}  // namespace

absl::Status ApplyLayer(const std::string& layer, const std::string& target) {
  UniqueFd from(::open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from) return Failed("open layer", layer);
  UniqueFd to(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!to) return Failed("open", target);
  return LayerCopy(to.get()).Directory(from.get(), to.get(), "");
}

}  // namespace berth::image
