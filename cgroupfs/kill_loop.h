// SPDX-License-Identifier: Apache-2.0
// Killing a cgroup without cgroup.kill: freeze, so that nobody forks; SIGKILL to all; thaw, so that they die;
// list again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs {

struct KillSteps {
  std::function<base::Result<std::vector<pid_t>>()> list;
  // Best effort and brief: a process in D state never freezes. May be empty.
  std::function<void()> freeze;
  // Called after each freeze, whatever happened between. May be empty.
  std::function<void()> thaw;
};

// Returns when `list` is empty. ETIMEDOUT with the pids left at the deadline, but never before one round was
// done. EBUSY when the caller itself is among them.
base::Result<void> KillLoop(Kernel& kernel, const std::string& path, const KillSteps& steps,
                            base::Deadline deadline);

}  // namespace berth::cgroupfs
