// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/kill_loop.h"

#include <algorithm>
#include <cerrno>

#include "cgroupfs/text.h"
#include "cgroupfs/tree.h"

namespace berth::cgroupfs {
namespace {

// Rounds of mere waiting for processes already signalled before all is done again.
constexpr int kWaitRounds = 10;

}  // namespace

base::Result<void> KillLoop(Kernel& kernel, const std::string& path, const KillSteps& steps,
                            base::Deadline deadline) {
  std::vector<pid_t> signalled;
  std::int64_t pause = base::kMillisecondNs;
  for (int round = 0;; ++round) {
    auto pids = steps.list();
    if (!pids) return pids.TakeError();
    SortUnique(*pids);
    if (pids->empty()) return {};
    if (std::binary_search(pids->begin(), pids->end(), kernel.Self())) {
      return base::SyscallFailed(EBUSY, "kill cgroup '" + path + "': this very process is in it");
    }
    if (round > 0 && deadline.Passed()) {
      return base::SyscallFailed(ETIMEDOUT,
                                 "kill cgroup '" + path + "': processes " + PidsText(*pids) + " do not die");
    }
    if (round % kWaitRounds == 0 ||
        !std::includes(signalled.begin(), signalled.end(), pids->begin(), pids->end())) {
      if (steps.freeze) steps.freeze();
      const auto list = [&steps] {
        auto now = steps.list();
        return now ? std::move(*now) : std::vector<pid_t>();
      };
      auto frozen = list();  // those that were forked before the freeze took hold are in here too
      SortUnique(frozen);
      kernel.Kill(frozen, list);
      if (steps.thaw) steps.thaw();
      signalled = std::move(frozen);
    }
    kernel.Sleep(pause);
    pause = std::min<std::int64_t>(pause * 2, 20 * base::kMillisecondNs);
  }
}

}  // namespace berth::cgroupfs
