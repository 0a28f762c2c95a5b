// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/files.h"
#include "cgroupfs/kill_loop.h"
#include "cgroupfs/text.h"
#include "cgroupfs/tree.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

using base::Result;

namespace {

// Long enough for hundreds of runnable tasks on a busy host, short enough not to matter when one is in D
// state.
constexpr std::int64_t kFreezePatienceNs = 200 * base::kMillisecondNs;

// A frozen task takes no SIGKILL until it thaws, and it thaws only when no ancestor is frozen.
bool ParentIsFrozen(const Kernel& kernel, const std::string& freezer) {
  auto text = kernel.Read(freezer + "/freezer.parent_freezing");
  return text && Trim(*text) == "1";
}

}  // namespace

Result<void> KillAll(Kernel& kernel, const std::string& path, const std::vector<std::string>& dirs,
                     const std::string& freezer, base::Deadline deadline) {
  KillSteps steps;
  steps.list = [&]() -> Result<std::vector<pid_t>> {
    std::vector<pid_t> pids;
    for (const auto& dir : dirs) {
      auto below = ProcessesBelow(kernel, dir);
      if (!below) return below;
      pids.insert(pids.end(), below->begin(), below->end());
    }
    return pids;
  };
  if (!freezer.empty()) {
    steps.freeze = [&] {
      const auto patience = base::Deadline::After(kFreezePatienceNs);
      (void)TryFreeze(kernel, freezer, patience.at_ns() < deadline.at_ns() ? patience : deadline);
    };
    steps.thaw = [&] { (void)Thaw(kernel, freezer); };
  }
  auto killed = KillLoop(kernel, path, steps, deadline);
  if (!killed && killed.error().err == ETIMEDOUT && !freezer.empty() && ParentIsFrozen(kernel, freezer)) {
    return base::SyscallFailed(ETIMEDOUT, killed.error().what + " (a cgroup above it is frozen)");
  }
  return killed;
}

}  // namespace berth::cgroupfs::v1
