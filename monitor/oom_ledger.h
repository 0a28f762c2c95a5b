// SPDX-License-Identifier: Apache-2.0
// The book-keeping of one container's memory kills and the verdict over its end (design.md, rule 2;
// docs/oom-verdict.md). Pure: it is told what was seen and when, so every case is a table-driven test.
//
// A kill that is seen while PID 1 lives is first *open*: PID 1 may share the victim's memory and be dying of
// the same kill. The next look, at least kSettleNs later, that finds PID 1 alive and with no SIGKILL pending
// charges it to a child for good.
//
// A line without its cgroup (the kernel limits the line that names it) is ours when its process is known to
// be, else it is *guessed* ours while our counter has a kill that no line explains. A line that is ours
// without doubt takes the place of a guess.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "monitor/exit_record.h"
#include "monitor/kernel_log.h"

namespace berth::monitor {

class OomLedger {
 public:
  static constexpr std::int64_t kSettleNs = 8'000'000;
  static constexpr std::size_t kMostLines = 64;

  // v1: whose limit the memory has reached at all, as far as its peak tells, of the container, its pod and
  // the cgroups above.
  struct LimitsMet {
    bool container = false, pod = false, above = false;
  };

  struct Setup {
    std::string cgroup;  // "/kubepods/…/<id>"
    std::string pod_cgroup;
    std::int64_t pid = 0;  // PID 1's host pid
    bool log_readable = true;
    bool nested = false;                                    // our pids are not those of the kernel log
    std::uint64_t counter = 0;                              // oom_kill of the container's cgroup now
    std::optional<std::uint64_t> oom_local, pod_oom_local;  // v2: `oom` of memory.events.local
  };

  struct Look {
    std::int64_t at_ns = 0;  // monotonic
    KernelLogNews log;
    std::optional<std::uint64_t> counter, oom_local, pod_oom_local;  // nullopt: could not be read
    bool first_process_dying = false;                                // ended, or SIGKILL pending
    std::string first_process_comm;                                  // for nested PID namespaces
  };

  void Arm(const Setup& setup);
  bool armed() const { return armed_; }
  void Add(const Look& look);
  // Must another look follow, to settle what is open?
  bool HasOpen() const { return !open_.empty() || counter_growth_ > settled_growth_; }

  // PID 1 ended. `killed_by_us`: SIGKILL was ours. Fills verdict, evidence, scope, victim and counts (limits
  // and peaks are the caller's).
  OomEvidence Judge(const base::ExitStatus& status, bool killed_by_us, const LimitsMet& met) const;
  struct Exec {
    std::int64_t pid = 0;
    std::int64_t began_ns = 0;  // monotonic; lines before it are of another process with that pid
    std::uint64_t kills_before = 0;
    bool killed_by_us = false;
  };
  // An exec's first process ended by SIGKILL, and the look after that was added: did the kernel kill it for
  // memory? Its line, if one is there, is ours from now on.
  bool Claim(const Exec& exec);
  // All victims of this container so far.
  std::uint64_t kills() const;

 private:
  enum class Owner { kUs, kGuessedUs, kOthers };
  struct Line {
    KernelVictim victim;
    std::int64_t at_ns;
    Owner owner;
  };
  Owner OwnerOf(const KernelVictim& victim) const;
  void DropGuesses();
  std::string ScopeOf(const KernelVictim* victim, const LimitsMet& met) const;

  Setup setup_;
  bool armed_ = false;
  bool lost_ = false;
  std::int64_t last_look_ns_ = 0;
  std::string comm_;
  std::optional<KernelVictim> first_process_;  // PID 1's own line
  std::vector<KernelVictim> open_;
  std::optional<KernelVictim> last_;  // of any of our victims
  std::deque<Line> lines_;            // the latest of anybody's, at most kMostLines
  std::uint64_t seen_ = 0;            // victims of ours in the log, guesses included
  std::uint64_t counter_growth_ = 0;  // since arming
  std::uint64_t settled_growth_ = 0;
  bool oom_here_ = false, oom_in_pod_ = false;  // v2: which level's `oom` moved
};

// Does a path of the kernel's log name this cgroup or one below it? By suffix: a nested cgroup namespace
// shortens ours.
bool NamesCgroup(const std::string& kernel_path, const std::string& cgroup, bool or_below);

}  // namespace berth::monitor
