// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/convert.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

base::Result<void> ApplyPids(const std::string& dir, const Resources& resources, Changes& changes) {
  if (!resources.pids_limit) return {};
  if (dir.empty()) {
    if (*resources.pids_limit == kUnlimited) return {};
    return base::SyscallFailed(EOPNOTSUPP,
                               "a pids limit needs the cgroup controller 'pids', which is not mounted here");
  }
  return changes.Set(dir + "/pids.max", MaxOrNumber(*resources.pids_limit), "pids limit");
}

void ReadPidsLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (dir.empty()) return;
  if (auto text = kernel.Read(dir + "/pids.max")) limits.pids_limit = ParseMaxOrNumber(*text);
}

}  // namespace berth::cgroupfs::v1
