// SPDX-License-Identifier: Apache-2.0
// What each kind of entry becomes.
#include "image/unpack/extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cstring>

#include "base/fault.h"
#include "base/files.h"

namespace berth::image::unpack {

using base::Malformed;
using base::Resolve;
using base::Result;
using base::SyscallFailed;
using base::UniqueFd;

namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kAufsPrefix =
    ".wh..wh.";  // aufs' own files; only the next one means something to us
constexpr std::string_view kOpaqueName = ".wh..wh..opq";

struct Reader {
  LayerStream* stream;
  base::Error error{};
  bool failed = false;
};

la_ssize_t ReadBlock(::archive* archive, void* data, const void** buffer) {
  auto* reader = static_cast<Reader*>(data);
  auto piece = reader->stream->Next();
  if (!piece) {
    reader->error = piece.TakeError();
    reader->failed = true;
    archive_set_error(archive, EIO, "input failed");
    return ARCHIVE_FATAL;
  }
  *buffer = piece->data();
  return static_cast<la_ssize_t>(piece->size());
}

struct ArchiveCloser {
  void operator()(::archive* archive) const { archive_read_free(archive); }
};

}  // namespace

Result<void> Extractor::Run(LayerStream& stream) {
  struct stat info {};
  if (::fstat(root_, &info) != 0) return SyscallFailed(errno, "stat the layer's root");
  depths_[info.st_ino] = 0;
  ++report_.inodes;
  report_.disk_bytes += 4096;

  std::unique_ptr<::archive, ArchiveCloser> archive(archive_read_new());
  Reader reader{&stream};
  archive_read_support_format_tar(archive.get());
  archive_read_support_format_empty(archive.get());
  auto failed = [&]() -> base::Error {
    if (reader.failed) return reader.error;
    const char* text = archive_error_string(archive.get());
    return Malformed(std::string("not a sound tar archive: ") + (text == nullptr ? "no reason given" : text));
  };
  if (archive_read_open(archive.get(), &reader, nullptr, ReadBlock, nullptr) != ARCHIVE_OK) return failed();
  for (;;) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive.get(), &entry);
    if (result == ARCHIVE_EOF) break;
    // ARCHIVE_WARN is a name that lost something in conversion: it would not be the file that was meant.
    if (result != ARCHIVE_OK) return failed();
    if (++report_.entries > limits_.max_entries)
      return Malformed("archive has more than " + std::to_string(limits_.max_entries) + " entries");
    BERTH_FAULT_POINT("unpack.entry");
    if (auto done = Entry(archive.get(), entry); !done)
      return reader.failed ? Result<void>(reader.error) : done;
  }
  // Padding after the archive's end belongs to the digest.
  for (;;) {
    auto rest = stream.Next();
    if (!rest) return rest.TakeError();
    if (rest->empty()) break;
  }
  return DirectoryTimes();
}

Result<void> Extractor::Entry(::archive* archive, archive_entry* entry) {
  auto path = NormalisePath(archive_entry_pathname(entry), limits_.max_path);
  if (!path) return path.TakeError();
  const auto type = archive_entry_filetype(entry);
  const char* hard = archive_entry_hardlink(entry);
  if (path->empty()) {
    if (type != AE_IFDIR || hard != nullptr) return Malformed("the archive's root is no directory");
    if (mode_ == Mode::kFiles) return {};
    report_.root_named = true;
    return Directory(Place{root_, "", ".", ""}, entry);
  }
  auto place = Locate(*path, true);
  if (!place) return place.TakeError();
  if (mode_ == Mode::kLayer && place->name.starts_with(kWhiteoutPrefix)) {
    if (place->name == kOpaqueName) return MarkOpaque(place->parent, place->parent_path);
    if (place->name.starts_with(kAufsPrefix)) return {};
    return Whiteout(*place, place->name.substr(kWhiteoutPrefix.size()));
  }
  if (hard != nullptr) {
    auto target = NormalisePath(hard, limits_.max_path);
    if (!target) return target.TakeError();
    return HardLink(*place, *target);
  }
  switch (type) {
    case AE_IFDIR:
      return Directory(*place, entry);
    case AE_IFREG:
      return File(*place, archive, entry);
    case AE_IFLNK:
      return Symlink(*place, entry);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
      return Node(*place, entry);
    default:
      return Malformed("entry '" + *path + "' is of a kind that no layer may hold");
  }
}

Result<bool> Extractor::ClearWay(const Place& place, bool keep_directory) {
  struct stat info {};
  if (::fstatat(place.parent, place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return SyscallFailed(errno, "stat '" + place.path + "' of the layer");
  }
  if (S_ISDIR(info.st_mode) && keep_directory) return true;
  if (auto removed = RemoveAll(place.parent, place.name); !removed) return removed.TakeError();
  return false;
}

Result<void> Extractor::RemoveAll(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0) return {};
  if (errno != EISDIR && errno != EPERM) return SyscallFailed(errno, "remove '" + name + "' of the layer");
  // A directory that a later entry of the same archive replaces with something else.
  return RemoveDirectory(parent, name);
}

Result<void> Extractor::Whiteout(const Place& place, const std::string& hidden) {
  if (hidden.empty() || hidden == "." || hidden == "..")
    return Malformed("whiteout '" + place.path + "' names nothing");
  const std::string path = place.parent_path.empty() ? hidden : place.parent_path + "/" + hidden;
  struct stat info {};
  if (::fstatat(place.parent, hidden.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    // This layer brings the name itself: only what lies in lower layers goes. A directory says so by being
    // opaque.
    if (!S_ISDIR(info.st_mode)) return {};
    auto directory =
        base::OpenAt(place.parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kBeneath);
    if (!directory) return directory.TakeError();
    return MarkOpaque(directory->get(), path);
  }
  // overlayfs' whiteout: a character device 0/0. The kernel lets anybody make it.
  if (::mknodat(place.parent, hidden.c_str(), S_IFCHR | 0600, 0) != 0)
    return SyscallFailed(errno, "make whiteout '" + path + "'");
  whiteouts_.insert(path);
  ++report_.inodes;
  return {};
}

Result<void> Extractor::MarkOpaque(int directory, const std::string& path) {
  if (::fsetxattr(directory, "trusted.overlay.opaque", "y", 1, 0) != 0)
    return SyscallFailed(errno, "mark '" + path + "' opaque");
  return {};
}

Result<void> Extractor::Directory(const Place& place, archive_entry* entry) {
  const bool over_whiteout = whiteouts_.contains(place.path);
  if (place.name != ".") {
    auto kept = ClearWay(place, true);
    if (!kept) return kept.TakeError();
    if (!*kept) {
      if (auto made = MakeDir(place, false, over_whiteout); !made) return made;
    }
  }
  if (mode_ == Mode::kFiles) return {};
  report_.implicit.erase(place.path);
  auto fd = base::OpenAt(place.parent, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kBeneath);
  if (!fd) return fd.TakeError();
  if (auto set = SetByFd(fd->get(), place, entry); !set) return set;
  times_.push_back({place.path, MtimeOf(entry)});
  return {};
}

Result<void> Extractor::File(const Place& place, ::archive* archive, archive_entry* entry) {
  if (archive_entry_size_is_set(entry) != 0 &&
      static_cast<std::uint64_t>(archive_entry_size(entry)) > limits_.max_file_size) {
    return Malformed("file '" + place.path + "' claims " + std::to_string(archive_entry_size(entry)) +
                     " bytes");
  }
  if (auto cleared = ClearWay(place, false); !cleared) return cleared.TakeError();
  UniqueFd fd(
      ::openat(place.parent, place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return SyscallFailed(errno, "create '" + place.path + "' of the layer");
  ++report_.inodes;
  if (auto data = FileData(fd.get(), archive, place.path); !data) return data;
  if (mode_ == Mode::kFiles) return {};
  if (auto set = SetByFd(fd.get(), place, entry); !set) return set;
  const timespec times[2] = {MtimeOf(entry), MtimeOf(entry)};
  if (::futimens(fd.get(), times) != 0) return SyscallFailed(errno, "set the time of '" + place.path + "'");
  return {};
}

Result<void> Extractor::FileData(int fd, ::archive* archive, const std::string& path) {
  std::uint64_t end = 0;
  std::uint64_t written = 0;
  for (;;) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(archive, &data, &size, &offset);
    if (result != ARCHIVE_OK && result != ARCHIVE_EOF) {
      const char* text = archive_error_string(archive);
      return Malformed("data of '" + path + "': " + (text == nullptr ? "unreadable" : text));
    }
    // At the end the offset is the file's length: a hole may close it.
    const std::uint64_t block_end = static_cast<std::uint64_t>(offset) + size;
    if (offset < 0 || block_end > limits_.max_file_size)
      return Malformed("file '" + path + "' grows beyond the limit");
    end = std::max(end, block_end);
    if (result == ARCHIVE_EOF) break;
    const auto* at = static_cast<const char*>(data);
    for (std::size_t done = 0; done < size;) {
      const ssize_t put = ::pwrite(fd, at + done, size - done, offset + static_cast<la_int64_t>(done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return SyscallFailed(errno, "write '" + path + "' of the layer");
      done += static_cast<std::size_t>(put);
    }
    written += size;
  }
  if (end > 0 && ::ftruncate(fd, static_cast<off_t>(end)) != 0)
    return SyscallFailed(errno, "set the length of '" + path + "'");
  // Large files start their way to the disk while the rest still arrives.
  if (written >= (1 << 20)) (void)::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  report_.size_bytes += end;
  report_.disk_bytes += (written + 4095) / 4096 * 4096;
  return {};
}

Result<void> Extractor::HardLink(const Place& place, const std::string& target) {
  if (target.empty()) return Malformed("hard link '" + place.path + "' to the root");
  if (target == place.path) return Malformed("hard link '" + place.path + "' to itself");
  // The target's directory is opened by itself: Locate would move the cached one away from under `place`.
  const auto slash = target.find_last_of('/');
  auto parent = base::OpenAt(root_, slash == std::string::npos ? "." : target.substr(0, slash),
                             O_RDONLY | O_DIRECTORY, Resolve::kInRoot);
  const std::string name = slash == std::string::npos ? target : target.substr(slash + 1);
  struct stat info {};
  if (!parent || ::fstatat(parent->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return Malformed("hard link '" + place.path + "' to '" + target + "', which this layer does not hold");
  }
  if (S_ISDIR(info.st_mode))
    return Malformed("hard link '" + place.path + "' to the directory '" + target + "'");
  struct stat there {};
  if (::fstatat(place.parent, place.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      there.st_ino == info.st_ino)
    return {};
  if (auto cleared = ClearWay(place, false); !cleared) return cleared.TakeError();
  // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is one more name of that link.
  if (::linkat(parent->get(), name.c_str(), place.parent, place.name.c_str(), 0) != 0) {
    const int err = errno;
    if (err == EMLINK || err == ENOENT)
      return Malformed("hard link '" + place.path + "' to '" + target + "' cannot be made");
    return SyscallFailed(err, "link '" + place.path + "' to '" + target + "'");
  }
  return {};
}

Result<void> Extractor::Symlink(const Place& place, archive_entry* entry) {
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr || *target == '\0')
    return Malformed("symbolic link '" + place.path + "' without a target");
  if (std::strlen(target) > limits_.max_path)
    return Malformed("target of symbolic link '" + place.path + "' is too long");
  if (auto cleared = ClearWay(place, false); !cleared) return cleared.TakeError();
  if (::symlinkat(target, place.parent, place.name.c_str()) != 0)
    return SyscallFailed(errno, "link '" + place.path + "' of the layer");
  ++report_.inodes;
  return mode_ == Mode::kFiles ? Result<void>() : SetByName(place, entry, true);
}

Result<void> Extractor::Node(const Place& place, archive_entry* entry) {
  if (mode_ == Mode::kFiles) return Malformed("'" + place.path + "' is neither file, directory nor link");
  if (auto cleared = ClearWay(place, false); !cleared) return cleared.TakeError();
  const mode_t kind = archive_entry_filetype(entry);
  const dev_t device =
      kind == AE_IFIFO ? 0 : makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry));
  if (::mknodat(place.parent, place.name.c_str(), kind | 0600, device) != 0) {
    return SyscallFailed(errno, "make device or pipe '" + place.path + "' of the layer");
  }
  ++report_.inodes;
  // An archive's own 0/0 device is a whiteout to overlayfs, owner and mode mean nothing there.
  return SetByName(place, entry, false);
}

}  // namespace berth::image::unpack
