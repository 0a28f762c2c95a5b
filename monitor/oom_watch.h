// SPDX-License-Identifier: Apache-2.0
// Feeds one container's OomLedger: kernel log, counters, and the wake-ups that tell when to look (design.md,
// rule 2).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "cgroupfs/cgroup.h"
#include "monitor/kernel_log.h"
#include "monitor/loop.h"
#include "monitor/oom_ledger.h"

namespace berth::monitor {

class OomWatch {
 public:
  OomWatch(Loop& loop, const cgroupfs::Host& host, std::string cgroup, std::string pod_cgroup)
      : loop_(loop), host_(host), cgroup_(std::move(cgroup)), pod_cgroup_(std::move(pod_cgroup)) {}
  ~OomWatch();

  // Before OCI create: from here on the kernel log is ours to read.
  void OpenLog(const std::string& path);
  // Between create and start: baseline and wake-ups. An error names what could not be watched.
  base::Result<void> Arm(pid_t first_process);
  // Reads everything now.
  void Look();
  // The first process ended: the last look, judged, with the limits and peaks of the scope.
  OomEvidence Judge(const base::ExitStatus& status, bool killed_by_us,
                    std::optional<std::int64_t> memory_limit);
  // The start failed: did the kernel kill something of this cgroup meanwhile?
  bool KilledWhileStarting();
  // An exec's first process was reaped with SIGKILL: looks, then judges it.
  bool KilledExec(const OomLedger::Exec& exec);
  // Those until now: looks first. v1 wakes us before it kills, and an exec that begins in between is not to
  // answer for that kill.
  std::uint64_t CountKills();
  void Stop();

 private:
  static void ReadScope(const cgroupfs::Cgroup* cgroup, OomEvidence& oom);
  base::Result<void> WatchUnified(const std::string& dir);
  base::Result<void> WatchLegacy(const std::string& dir);
  bool FirstProcessDying() const;
  OomLedger::Look Read(bool dying);
  OomLedger::LimitsMet ReadLimitsMet() const;

  Loop& loop_;
  const cgroupfs::Host& host_;
  const std::string cgroup_, pod_cgroup_;
  std::unique_ptr<cgroupfs::Cgroup> container_, pod_;
  std::optional<KernelLog> log_;
  KernelLogNews early_;  // of the time before arming
  OomLedger ledger_;
  pid_t pid_ = 0;
  base::UniqueFd events_;               // v2: memory.events; v1: the eventfd
  base::UniqueFd control_;              // v1: memory.oom_control, which the eventfd is bound to
  std::vector<Loop::TimerId> samples_;  // v1: after a wake-up
  Loop::TimerId settling_ = 0;
  bool ended_ = false;
};

}  // namespace berth::monitor
