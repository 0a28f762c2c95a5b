// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/mounts.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "cgroupfs/text.h"

namespace berth::cgroupfs {
namespace {

// Every controller that v1 ever had (cgroups(7)); other words among the options are options ("rw", "xattr",
// "clone_children").
constexpr std::array<std::string_view, 15> kControllers = {
    "cpu",     "cpuacct", "cpuset",   "memory",     "devices", "freezer", "blkio", "pids",
    "hugetlb", "net_cls", "net_prio", "perf_event", "rdma",    "misc",    "debug"};

bool IsController(std::string_view word) {
  return std::find(kControllers.begin(), kControllers.end(), word) != kControllers.end();
}

std::vector<std::string> SplitCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const auto comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text = text.substr(comma + 1);
  }
}

// proc(5) writes blanks, tabs, newlines and backslashes of paths as three octal digits.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

void Add(std::vector<CgroupMount>& mounts, std::string_view place, std::string_view type,
         std::string_view options) {
  CgroupMount mount{Unescape(place), type == "cgroup2", SplitCommas(options)};
  std::erase_if(mounts, [&](const CgroupMount& earlier) { return earlier.mount == mount.mount; });
  if (type == "cgroup" || type == "cgroup2") mounts.push_back(std::move(mount));
}

// Of several mounts of one thing the one in the usual place.
bool IsBetter(const std::string& mount, const std::string& than) {
  const auto usual = [](const std::string& path) { return path.rfind("/sys/fs/cgroup", 0) == 0; };
  return than.empty() || (usual(mount) && !usual(than));
}

}  // namespace

bool Hierarchy::Has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

const Hierarchy* Layout::Find(std::string_view controller) const {
  for (const auto& hierarchy : hierarchies) {
    if (hierarchy.Has(controller)) return &hierarchy;
  }
  return nullptr;
}

std::string Layout::MountOf(std::string_view controller) const {
  const Hierarchy* hierarchy = Find(controller);
  return hierarchy == nullptr ? "" : hierarchy->mount;
}

std::vector<CgroupMount> ParseMountinfo(std::string_view text) {
  std::vector<CgroupMount> mounts;
  for (const auto line : SplitLines(text)) {
    // id parent dev root mountpoint options [optional fields] - type source super-options
    const auto words = SplitWords(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 10 || words.end() - dash < 4) continue;
    Add(mounts, words[4], dash[1], dash[3]);
  }
  return mounts;
}

std::vector<CgroupMount> ParseMounts(std::string_view text) {
  std::vector<CgroupMount> mounts;
  for (const auto line : SplitLines(text)) {
    const auto words = SplitWords(line);  // source mountpoint type options
    if (words.size() >= 4) Add(mounts, words[1], words[2], words[3]);
  }
  return mounts;
}

base::Result<Layout> LayoutOf(const std::vector<CgroupMount>& mounts) {
  Layout layout;
  bool v1_controllers = false;
  for (const auto& mount : mounts) {
    if (mount.v2) {
      if (IsBetter(mount.mount, layout.unified)) layout.unified = mount.mount;
      continue;
    }
    Hierarchy hierarchy{mount.mount, {}};
    for (const auto& option : mount.options) {
      if (IsController(option) || option.rfind("name=", 0) == 0) hierarchy.controllers.push_back(option);
      if (IsController(option)) v1_controllers = true;
    }
    if (hierarchy.controllers.empty()) continue;
    const auto same =
        std::find_if(layout.hierarchies.begin(), layout.hierarchies.end(),
                     [&](const Hierarchy& other) { return other.Has(hierarchy.controllers.front()); });
    if (same == layout.hierarchies.end())
      layout.hierarchies.push_back(hierarchy);
    else if (IsBetter(hierarchy.mount, same->mount))
      *same = hierarchy;
  }
  if (v1_controllers) {
    layout.version = Version::kV1;
    std::stable_partition(layout.hierarchies.begin(), layout.hierarchies.end(),
                          [](const Hierarchy& hierarchy) { return !hierarchy.Has("memory"); });
    return layout;
  }
  if (layout.unified.empty()) {
    return base::SyscallFailed(ENOENT, "no cgroup file system is mounted: mount cgroup2 on /sys/fs/cgroup");
  }
  layout.version = Version::kV2;
  layout.hierarchies.clear();
  return layout;
}

}  // namespace berth::cgroupfs
