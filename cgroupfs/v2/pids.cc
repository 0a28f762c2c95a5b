// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/convert.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

base::Result<void> ApplyPids(const std::string& dir, const Resources& resources, Changes& changes) {
  if (!resources.pids_limit) return {};
  const std::string file = dir + "/pids.max";
  if (auto there = NeedFile(changes.kernel(), file, "pids"); !there) {
    return *resources.pids_limit == kUnlimited ? base::Result<void>() : there;
  }
  return changes.Set(file, MaxOrNumber(*resources.pids_limit), "pids limit");
}

void ReadPidsLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (auto text = kernel.Read(dir + "/pids.max")) limits.pids_limit = ParseMaxOrNumber(*text);
}

}  // namespace berth::cgroupfs::v2
