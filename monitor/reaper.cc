// SPDX-License-Identifier: Apache-2.0
#include "monitor/reaper.h"

#include <sys/signalfd.h>
#include <sys/wait.h>

#include <charconv>
#include <csignal>

#include "base/clock.h"
#include "base/files.h"

namespace berth::monitor {
namespace {
constexpr std::uint64_t kForkedNotExecuted = 0x40;  // PF_FORKNOEXEC, unchanged since Linux 2.6
}  // namespace

std::optional<std::uint64_t> ProcessFlags(pid_t pid) {
  const auto stat = base::ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return std::nullopt;
  std::size_t at = stat->rfind(')');  // the name before it is hostile text
  for (int field = 2; field < 9 && at != std::string::npos; ++field) at = stat->find(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  std::uint64_t flags = 0;
  const char* begin = stat->data() + at + 1;
  if (std::from_chars(begin, stat->data() + stat->size(), flags).ec != std::errc()) return std::nullopt;
  return flags;
}

bool NeverExecuted(std::uint64_t flags) { return (flags & kForkedNotExecuted) != 0; }

base::Result<void> Reaper::Open() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::SyscallFailed(errno, "sigprocmask");
  signals_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return base::SyscallFailed(errno, "signalfd");
  return loop_.Watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) > 0) {
    }
    Collect();
  });
}

void Reaper::Expect(pid_t pid, OnExit on_exit) {
  // Kept, and not a new process of the same number?
  siginfo_t info{};
  const bool ours = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
  if (const auto at = kept_.find(pid); at != kept_.end()) {
    const Reaped reaped = at->second;
    kept_.erase(at);
    if (!ours) {
      loop_.Post([on_exit = std::move(on_exit), reaped] { on_exit(reaped); });
      return;
    }
  }
  expected_[pid] = std::move(on_exit);
  loop_.Post([this] { Collect(); });
}

bool Reaper::Knows(pid_t pid) const {
  siginfo_t info{};
  return kept_.count(pid) != 0 ||
         ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void Reaper::Release() {
  if (--holds_ == 0) kept_.clear();
}

void Reaper::Collect() {
  for (;;) {
    siginfo_t info{};
    // Looked at first and reaped then: /proc/<pid> of a zombie tells whether it ever executed.
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    const pid_t pid = info.si_pid;
    const auto flags = ProcessFlags(pid);
    Reaped reaped;
    int status = 0;
    if (::wait4(pid, &status, 0, &reaped.usage) != pid) return;
    reaped.status = base::ExitStatusFromWait(status);
    reaped.realtime_ns = base::RealtimeNs();
    reaped.monotonic_ns = base::MonotonicNs();
    reaped.executed = !flags || !NeverExecuted(*flags);
    if (const auto at = expected_.find(pid); at != expected_.end()) {
      const OnExit on_exit = std::move(at->second);
      expected_.erase(at);
      on_exit(reaped);
    } else if (holds_ > 0) {
      kept_[pid] = reaped;
    }
  }
}

}  // namespace berth::monitor
