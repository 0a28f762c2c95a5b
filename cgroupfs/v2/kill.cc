// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "base/fault.h"
#include "base/files.h"
#include "cgroupfs/kill_loop.h"
#include "cgroupfs/text.h"
#include "cgroupfs/tree.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

namespace {

constexpr std::int64_t kFreezePatienceNs = 200 * base::kMillisecondNs;

}  // namespace

Result<void> KillAll(Kernel& kernel, const std::string& path, const std::string& dir,
                     base::Deadline deadline) {
  KillSteps steps;
  steps.list = [&] { return ProcessesBelow(kernel, dir); };
  auto pids = steps.list();
  if (!pids) return pids.TakeError();
  if (std::find(pids->begin(), pids->end(), kernel.Self()) != pids->end()) {
    return base::SyscallFailed(EBUSY, "kill cgroup '" + path + "': this very process is in it");
  }
  BERTH_FAULT_POINT("cgroupfs.kill");
  if (auto killed = kernel.Write(dir + "/cgroup.kill", "1"); !killed) {
    if (!kernel.Exists(dir)) return {};
    // No such file before 5.14; EOPNOTSUPP in a threaded cgroup.
    steps.freeze = [&] {
      const auto patience = base::Deadline::After(kFreezePatienceNs);
      (void)TryFreeze(kernel, dir, patience.at_ns() < deadline.at_ns() ? patience : deadline);
    };
    steps.thaw = [&] { (void)Thaw(kernel, dir); };
    return KillLoop(kernel, path, steps, deadline);
  }
  auto empty = kernel.AwaitLine(dir + "/cgroup.events", "populated 0", deadline);
  if (empty || base::IsGone(empty.error().err)) return {};
  if (empty.error().err != ETIMEDOUT) return empty;
  auto left = steps.list();
  if (left) SortUnique(*left);
  return base::SyscallFailed(ETIMEDOUT, "kill cgroup '" + path + "': processes " +
                                            (left ? PidsText(*left) : "unknown") + " do not die");
}

}  // namespace berth::cgroupfs::v2
