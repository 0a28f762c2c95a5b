// SPDX-License-Identifier: Apache-2.0
// Collects every child of the monitor: those it spawned and, as child sub-reaper (prctl(2)), those that an
// OCI runtime left to it.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <functional>
#include <map>

#include "base/fd.h"
#include "base/process.h"
#include "base/result.h"
#include "monitor/loop.h"

namespace berth::monitor {

struct Reaped {
  base::ExitStatus status;
  rusage usage{};
  std::int64_t realtime_ns = 0;
  std::int64_t monotonic_ns = 0;
  // Did it ever execve since it was cloned? An OCI runtime's init that died before is no container that ran.
  bool executed = true;
};

class Reaper {
 public:
  using OnExit = std::function<void(const Reaped&)>;

  explicit Reaper(Loop& loop) : loop_(loop) {}
  // Blocks SIGCHLD for the process and reads it from a descriptor.
  base::Result<void> Open();
  // `on_exit` runs once, from the loop. If the process has been reaped already and its status was kept, soon.
  void Expect(pid_t pid, OnExit on_exit);
  // While at least one hold is out, statuses of unknown pids are kept: an OCI call is in flight whose pid
  // file is not read yet.
  void Hold() { ++holds_; }
  void Release();
  // Is it a child of ours that is not reaped yet, or a kept status?
  bool Knows(pid_t pid) const;

 private:
  void Collect();

  Loop& loop_;
  base::UniqueFd signals_;
  std::map<pid_t, OnExit> expected_;
  std::map<pid_t, Reaped> kept_;
  int holds_ = 0;
};

// Field 9 of /proc/<pid>/stat, also of a zombie; nullopt when it is gone.
std::optional<std::uint64_t> ProcessFlags(pid_t pid);
// True while the process has not called execve since its clone (PF_FORKNOEXEC of the kernel's sched.h).
bool NeverExecuted(std::uint64_t flags);

}  // namespace berth::monitor
