// SPDX-License-Identifier: Apache-2.0
#include "runtime/fsck/marker.h"

#include <sys/xattr.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace berth::runtime::fsck {
namespace {

constexpr char kAttribute[] = "trusted.berth";

}  // namespace

void Mark(const cgroupfs::Cgroup& cgroup, const std::string& root, const std::string& pod_id) {
  const std::string mark = absl::StrCat(root, ":", pod_id);
  for (const std::string& procs : cgroup.ProcsFiles()) {
    const std::string directory = procs.substr(0, procs.rfind('/'));
    (void)::setxattr(directory.c_str(), kAttribute, mark.data(), mark.size(), 0);
  }
}

std::string MarkOf(const std::string& directory, const std::string& root) {
  char value[1024];
  const ssize_t size = ::getxattr(directory.c_str(), kAttribute, value, sizeof value);
  if (size <= 0) return "";
  absl::string_view mark(value, static_cast<std::size_t>(size));
  return absl::StartsWith(mark, root + ":") ? std::string(mark.substr(root.size() + 1)) : "";
}

}  // namespace berth::runtime::fsck
