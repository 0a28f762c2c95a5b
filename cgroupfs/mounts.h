// SPDX-License-Identifier: Apache-2.0
// Which cgroup file systems are mounted where. Pure: texts of proc(5) in, layout out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroupfs/cgroup.h"

namespace berth::cgroupfs {

// One mounted v1 hierarchy: "cpu,cpuacct" together on most hosts, each alone on some; "name=systemd" has no
// controller.
struct Hierarchy {
  std::string mount;
  std::vector<std::string> controllers;  // names as in the mount's options, named hierarchies as "name=…"
  bool Has(std::string_view controller) const;
};

struct Layout {
  Version version = Version::kV1;
  std::vector<Hierarchy> hierarchies;  // v1; memory's is the last: it tells whether a cgroup is there
  std::string unified;                 // mount of the v2 tree; on v1 that of a hybrid host, "" without one
  const Hierarchy* Find(std::string_view controller) const;
  std::string MountOf(std::string_view controller) const;  // "" when it is not mounted
};

struct CgroupMount {
  std::string mount;
  bool v2 = false;
  std::vector<std::string> options;  // of the file system (v1: controllers among them)
};

// /proc/self/mountinfo: cgroup file systems only, later mounts on the same place hiding earlier ones.
std::vector<CgroupMount> ParseMountinfo(std::string_view text);
// /proc/mounts, for where mountinfo is not readable.
std::vector<CgroupMount> ParseMounts(std::string_view text);
// v2 when no v1 controller is mounted. ENOENT when there is no cgroup file system at all.
base::Result<Layout> LayoutOf(const std::vector<CgroupMount>& mounts);

}  // namespace berth::cgroupfs
