// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fault.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

namespace {

constexpr std::array<std::string_view, 6> kWanted = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids"};

bool Contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

Result<void> EnableControllers(Kernel& kernel, const std::string& dir) {
  auto available = kernel.Read(dir + "/cgroup.controllers");
  if (!available) return available.TakeError();
  auto enabled = kernel.Read(dir + "/cgroup.subtree_control");
  if (!enabled) return enabled.TakeError();
  const auto have = SplitWords(*available);
  const auto given = SplitWords(*enabled);
  std::string missing;
  for (const auto controller : kWanted) {
    if (Contains(have, controller) && !Contains(given, controller)) {
      missing += (missing.empty() ? "+" : " +") + std::string(controller);
    }
  }
  if (missing.empty()) return {};
  BERTH_FAULT_POINT("cgroupfs.subtree_control");
  auto written = kernel.Write(dir + "/cgroup.subtree_control", missing);
  if (written) return {};
  const int err = written.error().err;
  if (err == EBUSY) {
    auto procs = kernel.Read(dir + "/cgroup.procs");
    const auto pids = procs ? ParsePids(*procs) : std::vector<pid_t>();
    return base::SyscallFailed(
        EBUSY, "cgroup '" + dir + "' cannot have children with limits (" + missing +
                   ") while processes live in it itself (cgroup v2's rule of no internal processes): " +
                   (pids.empty() ? "unknown" : PidsText(pids)) +
                   "; move them into a child or name another parent");
  }
  if (err == EOPNOTSUPP) {
    return base::SyscallFailed(
        err, "cgroup '" + dir + "' is threaded and cannot have children with limits (" + missing + ")");
  }
  return written;
}

Result<void> NeedFile(const Kernel& kernel, const std::string& file, std::string_view controller) {
  if (kernel.Exists(file)) return {};
  return base::SyscallFailed(EOPNOTSUPP,
                             "'" + file + "' is missing: the cgroup controller '" + std::string(controller) +
                                 "' is absent or not enabled in the parent's cgroup.subtree_control");
}

}  // namespace berth::cgroupfs::v2
