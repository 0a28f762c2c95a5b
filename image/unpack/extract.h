// SPDX-License-Identifier: Apache-2.0
// A tar archive turned into files below one directory. Names, links and numbers in the archive are hostile:
// every path is resolved by openat2(RESOLVE_IN_ROOT) below the root, and every count and size has a cap.
// Single-threaded.
#pragma once

#include <time.h>

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/unpack/stream.h"

struct archive;
struct archive_entry;

namespace berth::image::unpack {

enum class Mode {
  kLayer,  // owners, modes, xattrs; whiteouts become overlayfs' own
  kFiles,  // regular files, directories and links only, all of them ours: the members of an image archive
};

struct Limits {
  std::uint64_t max_entries = 4'000'000;
  std::size_t max_path = 4095;
  int max_depth = 512;  // directories within directories; what removes them later must be able to
  int max_xattrs = 64;  // of one entry
  std::size_t max_xattr_size = 65536;  // XATTR_SIZE_MAX
  std::uint64_t max_file_size =
      1ULL << 40;  // holes count: a sparse file is cheap on disk, but not when it is copied
  std::size_t max_implicit = 10'000;
};

struct Report {
  std::uint64_t entries = 0;
  std::uint64_t size_bytes = 0;  // of regular files, as their length says
  std::uint64_t disk_bytes = 0;  // rounded up to blocks of 4 KiB
  std::uint64_t inodes = 0;
  std::uint64_t xattrs_dropped = 0;  // the file system or the kernel does not take them
  // Directories that the archive only implies (it names something below them): their mode must come from a
  // lower layer.
  std::set<std::string> implicit;
  bool root_named = false;  // the archive has an entry for "/"
};

class Extractor {
 public:
  // `root` stays the caller's.
  Extractor(int root, Mode mode, Limits limits) : root_(root), mode_(mode), limits_(limits) {}

  // Reads the whole stream. An errno of 0 means a malformed or hostile archive.
  base::Result<void> Run(LayerStream& stream);
  const Report& report() const { return report_; }

 private:
  struct DirTime {
    std::string path;
    timespec mtime;
  };
  // Where an entry goes: the directory it is in, by descriptor, and its last component.
  struct Place {
    int parent = -1;
    std::string parent_path, name, path;
  };

  base::Result<void> Entry(::archive* archive, archive_entry* entry);
  base::Result<Place> Locate(const std::string& path, bool make_parents);
  base::Result<void> OpenParent(const std::string& path, bool make_parents);
  base::Result<void> MakeDir(const Place& place, bool implicit, bool opaque);
  base::Result<bool> ClearWay(const Place& place,
                              bool keep_directory);  // true: a directory is there to be kept
  base::Result<void> RemoveAll(int parent, const std::string& name);
  base::Result<void> RemoveDirectory(int parent, const std::string& name);
  base::Result<void> MarkOpaque(int directory, const std::string& path);
  base::Result<void> Whiteout(const Place& place, const std::string& hidden);
  base::Result<void> Directory(const Place& place, archive_entry* entry);
  base::Result<void> File(const Place& place, ::archive* archive, archive_entry* entry);
  base::Result<void> HardLink(const Place& place, const std::string& target);
  base::Result<void> Symlink(const Place& place, archive_entry* entry);
  base::Result<void> Node(const Place& place, archive_entry* entry);
  base::Result<void> FileData(int fd, ::archive* archive, const std::string& path);
  base::Result<void> SetByFd(int fd, const Place& place, archive_entry* entry);
  base::Result<void> SetByName(const Place& place, archive_entry* entry, bool symlink);
  base::Result<void> Xattrs(const Place& place, archive_entry* entry, int fd);
  base::Result<int> DepthOf(int directory);
  base::Result<void> DirectoryTimes();

  const int root_;
  const Mode mode_;
  const Limits limits_;
  Report report_;
  std::vector<DirTime> times_;
  // The directory of the last entry, as most entries share it with their neighbour. Its path cannot come to
  // lead elsewhere meanwhile: that takes an entry in another directory, which replaces the cached one.
  std::string parent_path_;
  base::UniqueFd parent_;
  std::unordered_map<std::uint64_t, int> depths_;  // of each directory by inode; the root is 0
  std::set<std::string> whiteouts_;  // made by this layer: a directory over one of them is opaque
};

// "./a//b/" → "a/b", "/" → "". Absolute names count from the root, as every builder means them. `..` that
// stays inside is resolved; one that leaves is an error.
base::Result<std::string> NormalisePath(const char* name, std::size_t max_length);

// Everything below `root` to disk: one syncfs, or an fsync of each file and directory (bounded to ours on a
// busy node).
base::Result<void> SyncTree(int root, bool whole_file_system);

timespec MtimeOf(archive_entry* entry);

}  // namespace berth::image::unpack
