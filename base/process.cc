// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstring>

#include "base/files.h"

namespace berth::base {
namespace {

// linux/pidfd.h of 6.15, which Debian 12's headers do not have yet.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroupid;
  std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr std::uint64_t kPidfdInfoExit = 1U << 3;

}  // namespace

std::string ExitStatus::ToString() const {
  if (!signaled) return "exit code " + std::to_string(code);
  return "signal " + std::to_string(code) + " (" + SignalName(code) + ")";
}

ExitStatus ExitStatusFromSiginfo(int code, int status) { return {code != CLD_EXITED, status}; }

ExitStatus ExitStatusFromWait(int status) {
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status)};
  return {false, WEXITSTATUS(status)};
}

Result<ExitStatus> WaitChild(const Child& child, Deadline deadline) {
  for (;;) {
    pollfd fd{child.pidfd.get(), POLLIN, 0};
    const int ready = ::poll(&fd, 1, deadline.PollMs());
    if (ready < 0 && errno != EINTR) return SyscallFailed(errno, "poll a pidfd");
    if (ready > 0) break;
    if (ready == 0 && deadline.Passed())
      return SyscallFailed(ETIMEDOUT, "wait for process " + std::to_string(child.pid));
  }
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED) != 0) {
    if (errno != EINTR) return SyscallFailed(errno, "waitid");
  }
  return ExitStatusFromSiginfo(info.si_code, info.si_status);
}

Result<UniqueFd> PidfdOpen(pid_t pid) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return SyscallFailed(errno, "pidfd_open " + std::to_string(pid));
  return UniqueFd(fd);
}

Result<void> PidfdSignal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0)
    return SyscallFailed(errno, "pidfd_send_signal");
  return {};
}

bool PidfdExited(int pidfd) {
  pollfd fd{pidfd, POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

Result<ExitStatus> PidfdExitStatus(int pidfd) {
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(pidfd, kPidfdGetInfo, &info) != 0) return SyscallFailed(errno, "PIDFD_GET_INFO");
  if ((info.mask & kPidfdInfoExit) == 0)
    return SyscallFailed(PidfdExited(pidfd) ? EOPNOTSUPP : ENODATA, "PIDFD_GET_INFO");
  return ExitStatusFromWait(info.exit_code);
}

Result<ProcessIdentity> IdentifyProcess(pid_t pid) {
  auto stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) {
    const int err = stat.error().err == ENOENT ? ESRCH : stat.error().err;
    return SyscallFailed(err, "identify process " + std::to_string(pid));
  }
  // The name in brackets is hostile text: fields are counted from the last bracket. Field 3 follows it; 22 is
  // the start.
  const auto bracket = stat->rfind(')');
  if (bracket == std::string::npos) return Malformed("read /proc/" + std::to_string(pid) + "/stat");
  std::size_t at = bracket + 1;
  for (int field = 3; field < 22 && at != std::string::npos; ++field) at = stat->find(' ', at + 1);
  ProcessIdentity identity{pid, 0, BootId()};
  if (at == std::string::npos) return Malformed("read /proc/" + std::to_string(pid) + "/stat");
  const char* begin = stat->data() + at + 1;
  if (std::from_chars(begin, stat->data() + stat->size(), identity.start_ticks).ec != std::errc()) {
    return Malformed("read /proc/" + std::to_string(pid) + "/stat");
  }
  return identity;
}

Result<UniqueFd> OpenProcess(const ProcessIdentity& identity) {
  const std::string what = "open process " + std::to_string(identity.pid);
  if (identity.pid <= 0 || identity.boot_id != BootId()) return SyscallFailed(ESRCH, what);
  auto pidfd = PidfdOpen(identity.pid);
  if (!pidfd) return pidfd;
  auto now = IdentifyProcess(identity.pid);
  if (!now && now.error().err != ESRCH) return now.TakeError();  // no descriptor left: it may well live
  if (!now || now->start_ticks != identity.start_ticks) return SyscallFailed(ESRCH, what);
  if (PidfdExited(pidfd->get()))
    return SyscallFailed(ESRCH, what);  // ended, and not yet reaped by its parent
  return pidfd;
}

Result<ExitStatus> ZombieExitStatus(const ProcessIdentity& identity) {
  const std::string what = "exit status of process " + std::to_string(identity.pid);
  if (identity.pid <= 0 || identity.boot_id != BootId()) return SyscallFailed(ESRCH, what);
  auto stat = ReadFile("/proc/" + std::to_string(identity.pid) + "/stat", 4096);
  // Read before the process is identified: were the pid another's by now, the second look would say so.
  auto now = IdentifyProcess(identity.pid);
  if (!stat || !now || now->start_ticks != identity.start_ticks) return SyscallFailed(ESRCH, what);
  const auto bracket = stat->rfind(')');
  if (bracket == std::string::npos || bracket + 2 >= stat->size()) return Malformed(what);
  const char state = (*stat)[bracket + 2];
  if (state != 'Z' && state != 'X') return SyscallFailed(ENODATA, what);
  const auto last = stat->find_last_of(' ');
  int status = 0;
  const char* begin = stat->data() + last + 1;
  if (std::from_chars(begin, stat->data() + stat->size(), status).ec != std::errc()) return Malformed(what);
  return ExitStatusFromWait(status);
}

std::string SignalName(int signal) {
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
    return signal == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
  }
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

std::optional<int> ParseSignal(const std::string& text) {
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (!name.empty() &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
    int number = 0;
    const auto end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data(), end, number);
    if (parsed.ec != std::errc() || number < 1 || number > SIGRTMAX) return std::nullopt;
    return number;
  }
  if (name.rfind("SIG", 0) == 0) name = name.substr(3);
  const auto offset = [&](std::size_t prefix) -> std::optional<int> {
    int value = 0;
    const auto end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + prefix, end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
    return value;
  };
  std::optional<int> number;
  if (name == "RTMIN")
    number = SIGRTMIN;
  else if (name == "RTMAX")
    number = SIGRTMAX;
  else if (name.rfind("RTMIN+", 0) == 0) {
    if (auto n = offset(6)) number = SIGRTMIN + *n;
  } else if (name.rfind("RTMAX-", 0) == 0) {
    if (auto n = offset(6)) number = SIGRTMAX - *n;
  } else if (name == "IOT")
    number = SIGABRT;
  else if (name == "CLD")
    number = SIGCHLD;
  else if (name == "POLL")
    number = SIGIO;
  if (number)
    return *number >= SIGRTMIN && *number <= SIGRTMAX
               ? number
               : (*number < SIGRTMIN && name.rfind("RT", 0) != 0 ? number : std::nullopt);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return std::nullopt;
}

}  // namespace berth::base
