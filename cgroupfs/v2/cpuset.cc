// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/path.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

namespace {

// v2 takes any list of what the machine has, also one outside the parent's: what counts is
// cpuset.cpus.effective.
Result<void> SetList(const std::string& dir, const std::string& name, const std::string& list,
                     Changes& changes) {
  if (list.empty()) return {};
  const std::string file = dir + "/" + name;
  if (auto there = NeedFile(changes.kernel(), file, "cpuset"); !there) return there;
  auto set = changes.Set(file, list, name);
  if (set || (set.error().err != EINVAL && set.error().err != ERANGE)) return set;
  auto parent = changes.kernel().Read(ParentPath(dir) + "/" + name + ".effective");
  if (!parent) return set;
  return base::SyscallFailed(set.error().err, name + " '" + list + "' is refused; the parent has '" +
                                                  std::string(Trim(*parent)) + "' ('" + dir + "')");
}

}  // namespace

Result<void> ApplyCpuset(const std::string& dir, const Resources& resources, Changes& changes) {
  if (auto set = SetList(dir, "cpuset.cpus", resources.cpuset_cpus, changes); !set) return set;
  return SetList(dir, "cpuset.mems", resources.cpuset_mems, changes);
}

void ReadCpusetLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (auto text = kernel.Read(dir + "/cpuset.cpus")) limits.cpuset_cpus = Trim(*text);
  if (auto text = kernel.Read(dir + "/cpuset.mems")) limits.cpuset_mems = Trim(*text);
}

}  // namespace berth::cgroupfs::v2
