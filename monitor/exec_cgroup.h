// SPDX-License-Identifier: Apache-2.0
// The child cgroup of one exec, so that its whole tree can be ended (design.md, rule 6): below the
// container's cgroup, where that costs nothing: v2 (no controller is enabled in it), v1 in the pids and
// freezer hierarchies only (a memory cgroup per probe would linger).
//
// How a process gets there, tried with crun 1.8.1 and runc 1.1.5 on v1: runc's `exec --cgroup pids:X --cgroup
// freezer:X` is exact. crun's `exec --cgroup X` leaves the process in the *caller's* memory cgroup when X is
// not in every hierarchy, so there the process is moved after the runtime has returned, with what it has
// forked meanwhile; a child that left its parent within those two or three milliseconds stays in the
// container's cgroup, and ends with the container at the latest.
#pragma once

#include <string>
#include <vector>

#include "monitor/cgroup_kill.h"

namespace berth::monitor {

class ExecCgroup {
 public:
  // Makes the directories; those that cannot be made are left out (then Kill goes by the process tree alone).
  ExecCgroup(const std::vector<std::string>& container_procs, const std::string& exec_id,
             const std::string& runtime_path);
  // Arguments for the runtime's exec.
  const std::vector<std::string>& runtime_args() const { return args_; }
  // Moves the process and its descendants in, where the runtime did not.
  void Adopt(pid_t pid) const;
  bool empty() const { return dirs_.all.empty(); }
  const CgroupKill::Dirs& dirs() const { return dirs_; }
  // Processes that outlived the exec go back to the container; the directories go. False while some are left.
  bool Dissolve();

 private:
  CgroupKill::Dirs container_, dirs_;
  std::vector<std::string> args_;
};

// The process and its descendants by /proc's parent numbers, among `candidates`.
std::vector<pid_t> TreeOf(pid_t root, const std::vector<pid_t>& candidates);

}  // namespace berth::monitor
