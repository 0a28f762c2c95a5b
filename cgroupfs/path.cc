// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/path.h"

#include <cerrno>

namespace berth::cgroupfs {
namespace {

base::Error Invalid(std::string_view path, std::string_view why) {
  return base::SyscallFailed(EINVAL, "cgroup path '" + std::string(path) + "' " + std::string(why));
}

}  // namespace

base::Result<void> ValidatePath(std::string_view path) {
  if (path.empty() || path.front() != '/') return Invalid(path, "does not start with '/'");
  if (path == "/") return {};
  if (path.size() > 3500) return Invalid(path.substr(0, 100), "is too long");
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return Invalid("", "has a control character in it");
  }
  for (std::size_t at = 1; at <= path.size();) {
    auto end = path.find('/', at);
    if (end == std::string_view::npos) end = path.size();
    const std::string_view part = path.substr(at, end - at);
    if (part.empty()) return Invalid(path, "has an empty part");
    if (part == "." || part == "..") return Invalid(path, "has a part '.' or '..'");
    if (part.size() > 255) return Invalid(path, "has a part longer than 255 bytes");
    at = end + 1;
  }
  return {};
}

std::vector<std::string> StepsDown(std::string_view path) {
  std::vector<std::string> steps{""};
  if (path == "/") return steps;
  for (auto end = path.find('/', 1);; end = path.find('/', end + 1)) {
    steps.emplace_back(path.substr(0, end));
    if (end == std::string_view::npos) return steps;
  }
}

std::string DirOf(std::string_view mount, std::string_view path) {
  std::string dir(mount);
  if (path != "/") dir += path;
  return dir;
}

std::string ParentPath(std::string_view path) {
  const auto slash = path.find_last_of('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : std::string(path.substr(0, slash));
}

}  // namespace berth::cgroupfs
