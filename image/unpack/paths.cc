// SPDX-License-Identifier: Apache-2.0
// Where an entry goes: names made safe, parents opened below the root.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "base/files.h"
#include "image/unpack/extract.h"

namespace berth::image::unpack {

using base::Malformed;
using base::Resolve;
using base::Result;
using base::SyscallFailed;

Result<std::string> NormalisePath(const char* name, std::size_t max_length) {
  if (name == nullptr) return Malformed("an entry's name cannot be read (neither UTF-8 nor plain)");
  const std::string_view text = name;
  if (text.size() > max_length)
    return Malformed("an entry's name has " + std::to_string(text.size()) + " bytes");
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t end = text.find('/', begin);
    if (end == std::string_view::npos) end = text.size();
    const auto part = text.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (parts.empty()) return Malformed("entry '" + std::string(text) + "' leaves the layer");
      parts.pop_back();
      continue;
    }
    if (part.size() > 255)
      return Malformed("a component of an entry's name has " + std::to_string(part.size()) + " bytes");
    parts.push_back(part);
  }
  std::string path;
  for (const auto part : parts) {
    if (!path.empty()) path += '/';
    path += part;
  }
  return path;
}

Result<int> Extractor::DepthOf(int directory) {
  struct stat info {};
  if (::fstat(directory, &info) != 0) return SyscallFailed(errno, "stat a directory");
  const auto found = depths_.find(info.st_ino);
  return found == depths_.end() ? 0 : found->second;
}

// Leaves the directory `path` in parent_.
Result<void> Extractor::OpenParent(const std::string& path, bool make_parents) {
  if (parent_ && parent_path_ == path) return {};
  parent_.Reset();
  constexpr int kFlags = O_RDONLY | O_DIRECTORY;
  auto opened = base::OpenAt(root_, path.empty() ? "." : path, kFlags, Resolve::kInRoot);
  if (!opened && opened.error().err == ENOENT && make_parents) {
    // Component by component, from the first that is missing.
    base::UniqueFd at(::openat(root_, ".", kFlags | O_CLOEXEC));
    if (!at) return SyscallFailed(errno, "open the layer's root");
    for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
      const std::string prefix = path.substr(0, end);
      auto next = base::OpenAt(root_, prefix, kFlags, Resolve::kInRoot);
      if (!next && next.error().err == ENOENT) {
        const std::string name = prefix.substr(prefix.find_last_of('/') + 1);
        if (auto made = MakeDir(Place{at.get(), "", name, prefix}, true, whiteouts_.contains(prefix)); !made)
          return made;
        next = base::OpenAt(root_, prefix, kFlags, Resolve::kInRoot);
      }
      if (!next) return SyscallFailed(next.error().err, "open directory '" + prefix + "' of the layer");
      at = std::move(*next);
      if (end == std::string::npos) break;
    }
    opened = std::move(at);
  }
  if (!opened) {
    const int err = opened.error().err;
    // What stands in the way was put there by the archive itself.
    if (err == ENOTDIR || err == ELOOP || err == ENOENT || err == EXDEV) {
      return Malformed("entry below '" + path + "', which is no directory (" +
                       std::string(std::strerror(err)) + ")");
    }
    return SyscallFailed(err, "open directory '" + path + "' of the layer");
  }
  parent_ = std::move(*opened);
  parent_path_ = path;
  return {};
}

Result<Extractor::Place> Extractor::Locate(const std::string& path, bool make_parents) {
  Place place;
  const auto slash = path.find_last_of('/');
  place.parent_path = slash == std::string::npos ? "" : path.substr(0, slash);
  place.name = slash == std::string::npos ? path : path.substr(slash + 1);
  place.path = path;
  if (auto opened = OpenParent(place.parent_path, make_parents); !opened) return opened.TakeError();
  place.parent = parent_.get();
  return place;
}

// mkdir with the depth kept; a whiteout in the way is replaced (the directory is opaque then).
Result<void> Extractor::MakeDir(const Place& place, bool implicit, bool opaque) {
  auto depth = DepthOf(place.parent);
  if (!depth) return depth.TakeError();
  if (*depth + 1 > limits_.max_depth) {
    return Malformed("directories nested deeper than " + std::to_string(limits_.max_depth) + " at '" +
                     place.path.substr(0, 200) + "'");
  }
  if (::mkdirat(place.parent, place.name.c_str(), mode_ == Mode::kLayer ? 0755 : 0700) != 0) {
    const int err = errno;
    if (err == EEXIST) return Malformed("entry below '" + place.path + "', which is no directory");
    return SyscallFailed(err, "create directory '" + place.path + "' of the layer");
  }
  struct stat info {};
  if (::fstatat(place.parent, place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return SyscallFailed(errno, "stat '" + place.path + "'");
  depths_[info.st_ino] = *depth + 1;
  ++report_.inodes;
  report_.disk_bytes += 4096;
  if (implicit && mode_ == Mode::kLayer && report_.implicit.size() < limits_.max_implicit)
    report_.implicit.insert(place.path);
  if (opaque && mode_ == Mode::kLayer) {
    auto made =
        base::OpenAt(place.parent, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kBeneath);
    if (!made) return made.TakeError();
    if (auto marked = MarkOpaque(made->get(), place.path); !marked) return marked;
    whiteouts_.erase(place.path);
  }
  return {};
}

}  // namespace berth::image::unpack
