// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/path.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

using base::Result;

namespace {

// A v1 cpuset must be within its parent's (EACCES) and hold its children's (EBUSY).
Result<void> SetList(const std::string& dir, const std::string& file, const std::string& list,
                     Changes& changes) {
  if (list.empty()) return {};
  auto set = changes.Set(dir + "/" + file, list, file);
  if (set) return set;
  if (set.error().err == EACCES || set.error().err == EINVAL || set.error().err == ERANGE) {
    if (auto parent = changes.kernel().Read(ParentPath(dir) + "/" + file)) {
      return base::SyscallFailed(set.error().err, file + " '" + list + "' is not within the parent's '" +
                                                      std::string(Trim(*parent)) + "' ('" + dir + "')");
    }
  }
  return set;
}

}  // namespace

Result<void> InheritCpuset(Kernel& kernel, const std::string& dir) {
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    auto own = kernel.Read(dir + name);
    if (!own) return own.TakeError();
    if (!Trim(*own).empty()) continue;
    auto parent = kernel.Read(ParentPath(dir) + name);
    if (!parent) return parent.TakeError();
    if (Trim(*parent).empty()) continue;  // then nobody can run there; joining says so
    if (auto written = kernel.Write(dir + name, Trim(*parent)); !written) return written;
  }
  return {};
}

Result<void> ApplyCpuset(const std::string& dir, const Resources& resources, Changes& changes) {
  if (resources.cpuset_cpus.empty() && resources.cpuset_mems.empty()) return {};
  if (dir.empty()) {
    return base::SyscallFailed(EOPNOTSUPP,
                               "a cpuset needs the cgroup controller 'cpuset', which is not mounted here");
  }
  if (auto set = SetList(dir, "cpuset.cpus", resources.cpuset_cpus, changes); !set) return set;
  return SetList(dir, "cpuset.mems", resources.cpuset_mems, changes);
}

void ReadCpusetLimits(const Kernel& kernel, const std::string& dir, Resources& limits) {
  if (dir.empty()) return;
  if (auto text = kernel.Read(dir + "/cpuset.cpus")) limits.cpuset_cpus = Trim(*text);
  if (auto text = kernel.Read(dir + "/cpuset.mems")) limits.cpuset_mems = Trim(*text);
}

}  // namespace berth::cgroupfs::v1
