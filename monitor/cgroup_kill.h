// SPDX-License-Identifier: Apache-2.0
// Ends all processes of a cgroup from the loop, in small steps that never wait (design.md, rule 6): v2 by
// cgroup.kill; v1 by freezing, SIGKILL and thawing, listed again until empty. cgroupfs::Cgroup::KillAll waits
// in place, which the loop must not.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "monitor/loop.h"

namespace berth::monitor {

class CgroupKill {
 public:
  // Directories of one cgroup: v2's, or those of the v1 hierarchies it exists in.
  struct Dirs {
    std::vector<std::string> all;
    std::string freezer;  // v1 "freezer.state" directory; "" = none
    std::string unified;  // v2 directory with cgroup.kill; "" = none
  };
  // `done(left)`: pids that were still there at the deadline; empty when all are gone. Runs from the loop,
  // never from within here.
  static std::shared_ptr<CgroupKill> Start(Loop& loop, Dirs dirs, base::Deadline deadline,
                                           std::function<void(const std::vector<pid_t>&)> done);

 private:
  CgroupKill(Loop& loop, Dirs dirs, base::Deadline deadline,
             std::function<void(const std::vector<pid_t>&)> done)
      : loop_(loop), dirs_(std::move(dirs)), deadline_(deadline), done_(std::move(done)) {}
  void Freeze(std::shared_ptr<CgroupKill> self);
  void Strike(std::shared_ptr<CgroupKill> self);

  Loop& loop_;
  const Dirs dirs_;
  const base::Deadline deadline_;
  std::function<void(const std::vector<pid_t>&)> done_;
  std::int64_t wait_ns_ = base::kMillisecondNs;
};

// From a cgroup's cgroup.procs files (Cgroup::ProcsFiles()).
CgroupKill::Dirs DirsOf(const std::vector<std::string>& procs_files);

// Processes in these directories and below, zombies left out, sorted.
std::vector<pid_t> ProcessesIn(const CgroupKill::Dirs& dirs);

}  // namespace berth::monitor
