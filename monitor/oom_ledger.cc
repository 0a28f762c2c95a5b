// SPDX-License-Identifier: Apache-2.0
#include "monitor/oom_ledger.h"

#include <algorithm>
#include <csignal>

namespace berth::monitor {
namespace {

std::uint64_t Growth(const std::optional<std::uint64_t>& now, std::uint64_t before) {
  return now && *now > before ? *now - before : 0;
}

}  // namespace

bool NamesCgroup(const std::string& kernel_path, const std::string& cgroup, bool or_below) {
  if (cgroup.size() < 2) return false;
  for (auto at = kernel_path.find(cgroup); at != std::string::npos; at = kernel_path.find(cgroup, at + 1)) {
    const auto end = at + cgroup.size();
    if (end == kernel_path.size()) return true;
    if (or_below && kernel_path[end] == '/') return true;
  }
  return false;
}

void OomLedger::Arm(const Setup& setup) {
  *this = OomLedger();
  setup_ = setup;
  armed_ = true;
}

OomLedger::Owner OomLedger::OwnerOf(const KernelVictim& victim) const {
  if (!setup_.nested && victim.pid == setup_.pid) return Owner::kUs;
  if (victim.task_memcg)
    return NamesCgroup(*victim.task_memcg, setup_.cgroup, true) ? Owner::kUs : Owner::kOthers;
  return counter_growth_ > seen_ ? Owner::kGuessedUs : Owner::kOthers;
}

// Lines that are ours without doubt explain the counter: what was guessed beyond it was somebody else's.
void OomLedger::DropGuesses() {
  for (auto line = lines_.begin(); line != lines_.end() && seen_ > counter_growth_; ++line) {
    if (line->owner != Owner::kGuessedUs) continue;
    line->owner = Owner::kOthers;
    --seen_;
    const auto pid = line->victim.pid;
    open_.erase(
        std::remove_if(open_.begin(), open_.end(), [pid](const KernelVictim& v) { return v.pid == pid; }),
        open_.end());
    if (last_ && last_->pid == pid) last_.reset();
  }
  if (last_) return;
  const auto ours = std::find_if(lines_.rbegin(), lines_.rend(),
                                 [](const Line& line) { return line.owner != Owner::kOthers; });
  if (ours != lines_.rend()) last_ = ours->victim;
}

void OomLedger::Add(const Look& look) {
  if (!armed_) return;
  if (!look.first_process_dying && look.at_ns - last_look_ns_ >= kSettleNs) {
    // PID 1 outlived what the look before saw: those were others.
    open_.clear();
    settled_growth_ = counter_growth_;
  }
  last_look_ns_ = look.at_ns;
  if (!look.first_process_comm.empty()) comm_ = look.first_process_comm;
  lost_ = lost_ || look.log.lost;
  counter_growth_ = std::max(counter_growth_, Growth(look.counter, setup_.counter));
  oom_here_ = oom_here_ || (setup_.oom_local && Growth(look.oom_local, *setup_.oom_local) > 0);
  oom_in_pod_ =
      oom_in_pod_ || (setup_.pod_oom_local && Growth(look.pod_oom_local, *setup_.pod_oom_local) > 0);
  for (const auto& victim : look.log.victims) {
    const Owner owner = OwnerOf(victim);
    lines_.push_back({victim, look.at_ns, owner});
    if (lines_.size() > kMostLines) lines_.pop_front();
    if (owner == Owner::kOthers) continue;
    ++seen_;
    last_ = victim;
    if (!setup_.nested && victim.pid == setup_.pid) {
      first_process_ = victim;
    } else {
      open_.push_back(victim);
    }
  }
  if (look.counter) DropGuesses();
}

std::uint64_t OomLedger::kills() const { return std::max<std::uint64_t>(seen_, counter_growth_); }

bool OomLedger::Claim(const Exec& exec) {
  if (!setup_.nested) {
    const auto line = std::find_if(lines_.begin(), lines_.end(), [&exec](const Line& l) {
      return l.victim.pid == exec.pid && l.at_ns >= exec.began_ns;
    });
    if (line != lines_.end()) {
      if (line->owner == Owner::kOthers) {
        ++seen_;
        last_ = line->victim;
      }
      line->owner = Owner::kUs;
      DropGuesses();
      return true;
    }
  }
  const bool counter_decides = !setup_.log_readable || setup_.nested || lost_;
  return counter_decides && !exec.killed_by_us && kills() > exec.kills_before;
}

std::string OomLedger::ScopeOf(const KernelVictim* victim, const LimitsMet& met) const {
  if (victim != nullptr && victim->global) return "node";
  if (victim != nullptr && victim->oom_memcg) {
    if (NamesCgroup(*victim->oom_memcg, setup_.cgroup, true)) return "container";
    if (NamesCgroup(*victim->oom_memcg, setup_.pod_cgroup, false)) return "pod";
    return "unknown";
  }
  if (oom_here_) return "container";
  if (oom_in_pod_) return "pod";
  // A limit's kill needs that limit reached; reclaim mends what reached it, too. So only one that alone was
  // reached is named.
  if (victim != nullptr && !met.above && met.container != met.pod) return met.container ? "container" : "pod";
  return "unknown";
}

OomEvidence OomLedger::Judge(const base::ExitStatus& status, bool killed_by_us, const LimitsMet& met) const {
  OomEvidence oom;
  if (!armed_) return oom;
  const bool sigkill = status.signaled && status.code == SIGKILL;
  const KernelVictim* decisive = nullptr;
  if (sigkill && first_process_) {
    oom.evidence = "kernel log";
    decisive = &*first_process_;
  } else if (sigkill && !killed_by_us) {
    const auto same_name =
        std::find_if(open_.begin(), open_.end(), [this](const KernelVictim& v) { return v.comm == comm_; });
    if (setup_.nested && same_name != open_.end()) {
      oom.evidence = "kernel log";
      decisive = &*same_name;
    } else if (!setup_.nested && !open_.empty()) {
      oom.evidence = "shared memory";
      decisive = &open_.back();
    } else if ((!setup_.log_readable || setup_.nested || lost_) && counter_growth_ > settled_growth_) {
      oom.evidence = "counter";
    }
  }
  oom.verdict = !oom.evidence.empty();
  // Unless the log can have told all, say so: a SIGKILL without a line is then no proof of the contrary.
  oom.evidence_lost = lost_ || !setup_.log_readable;
  oom.kills = kills();
  // Of a victim that shares PID 1's memory the kernel counts one kill, which is the one that ended PID 1.
  oom.child_kills = oom.verdict && oom.kills > 0 ? oom.kills - 1 : oom.kills;
  if (oom.verdict && oom.kills == 0) oom.kills = 1;
  if (decisive == nullptr && !oom.verdict && last_) decisive = &*last_;
  if (oom.kills > 0) oom.scope = ScopeOf(decisive, met);
  if (decisive != nullptr) oom.victim = OomVictim{decisive->comm, decisive->pid, decisive->rss_bytes};
  return oom;
}

}  // namespace berth::monitor
