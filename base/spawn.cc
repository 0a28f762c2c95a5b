// SPDX-License-Identifier: Apache-2.0
// vfork + execve. Between the two the child shares our memory and must only make system calls on memory
// prepared beforehand; in return it can report its failure through that memory.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/inherit.h"
#include "base/process.h"

namespace berth::base {
namespace {

// What RaiseDescriptorLimit found; set before there are threads.
std::optional<rlimit> descriptor_limit_before;

// Everything the child needs, laid out before vfork.
struct Plan {
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<SpawnOptions::Fd> fds;  // after `to` was made unique
  const SpawnOptions* options = nullptr;
  char oom_score_adj[16] = {};
  std::size_t oom_score_adj_length = 0;
  std::vector<std::string> above_hidden;  // the folders above hide_mount, the nearest first
  int highest_to = 2;
  sigset_t signals;  // mask for the new program: empty
  // Written by the child:
  const char* volatile failed_stage = nullptr;
  volatile int failed_errno = 0;
};

[[noreturn]] void Fail(Plan* plan, const char* stage) {
  plan->failed_errno = errno;
  plan->failed_stage = stage;
  ::_exit(127);
}

void WriteOrFail(Plan* plan, const char* path, const char* text, std::size_t length, const char* stage,
                 bool must) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  const bool done = fd >= 0 && ::write(fd, text, length) == static_cast<ssize_t>(length);
  if (!done && must) Fail(plan, stage);
  if (fd >= 0) ::close(fd);
}

// Unmounts options.hide_mount in a mount namespace of our own. An unmount goes wherever the propagation of
// the mount *below* leads (propagate_umount() looks at the parent; seen on 6.18: with a shared /sys/fs/cgroup
// the mount left the host's namespace as well). So that one turns private first, which is the nearest folder
// above that is the root of a mount (EINVAL: it is none), and the hidden one with what lies on it. All others
// keep propagating as the host's.
void HideMount(Plan* plan) {
  const char* hidden = plan->options->hide_mount.c_str();
  if (::unshare(CLONE_NEWNS) != 0) Fail(plan, "unshare the mount namespace");
  for (const auto& above : plan->above_hidden) {
    if (::mount(nullptr, above.c_str(), nullptr, MS_PRIVATE, nullptr) == 0) break;
    if (errno != EINVAL || above == "/") Fail(plan, "make the mount below the hidden one private");
  }
  if (::mount(nullptr, hidden, nullptr, MS_PRIVATE | MS_REC, nullptr) != 0)
    Fail(plan, "make the mount private");
  if (::umount2(hidden, MNT_DETACH) != 0) Fail(plan, "hide the mount");
}

// Moves every wanted descriptor above the range of targets first, so that no dup2 overwrites one still
// needed.
void ArrangeFds(Plan* plan) {
  for (auto& fd : plan->fds) {
    const int moved = ::fcntl(fd.from, F_DUPFD_CLOEXEC, plan->highest_to + 1);
    if (moved < 0) Fail(plan, "duplicate a descriptor");
    fd.from = moved;
  }
  bool standard[3] = {false, false, false};
  for (const auto& fd : plan->fds) {
    if (fd.to <= 2) standard[fd.to] = true;
  }
  for (int to = 0; to <= 2; ++to) {
    if (standard[to]) continue;
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) Fail(plan, "open /dev/null");
    if (null == to) {
      if (::fcntl(null, F_SETFD, 0) != 0) Fail(plan, "set up standard descriptors");
    } else if (::dup2(null, to) < 0) {
      Fail(plan, "set up standard descriptors");
    }
  }
  for (const auto& fd : plan->fds) {
    if (::dup2(fd.from, fd.to) < 0) Fail(plan, "set up descriptors");
  }
  // All others close at exec, also those that some library opened without O_CLOEXEC.
  ::syscall(SYS_close_range, static_cast<unsigned>(plan->highest_to + 1), ~0U, /*CLOSE_RANGE_CLOEXEC*/ 4U);
}

[[noreturn]] void RunChild(Plan* plan) {
  const SpawnOptions& options = *plan->options;
  if (options.new_session && ::setsid() < 0) Fail(plan, "setsid");
  if (options.parent_death_signal != 0 && ::prctl(PR_SET_PDEATHSIG, options.parent_death_signal) != 0)
    Fail(plan, "prctl");
  for (const auto& procs : options.cgroup_procs)
    WriteOrFail(plan, procs.c_str(), "0", 1, "join the cgroup", true);
  if (options.oom_score_adj) {
    WriteOrFail(plan, "/proc/self/oom_score_adj", plan->oom_score_adj, plan->oom_score_adj_length, "", false);
  }
  if (!options.hide_mount.empty()) HideMount(plan);
  // The usual one: ours is for our own files, and an OCI runtime makes cgroups that all must walk through.
  ::umask(022);
  if (!options.cwd.empty() && ::chdir(options.cwd.c_str()) != 0) Fail(plan, "chdir");
  ArrangeFds(plan);
  if (descriptor_limit_before && ::setrlimit(RLIMIT_NOFILE, &*descriptor_limit_before) != 0)
    Fail(plan, "put back the limit of open descriptors");
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) ::sigaction(signal, &by_default, nullptr);
  }
  ::sigprocmask(SIG_SETMASK, &plan->signals, nullptr);
  ::execve(plan->argv[0], plan->argv.data(), plan->env.data());
  Fail(plan, "exec");
}

__attribute__((noinline)) pid_t VforkAndRun(Plan* plan) {
  const pid_t pid = ::vfork();
  if (pid == 0) RunChild(plan);
  return pid;
}

}  // namespace

Result<void> RaiseDescriptorLimit(std::uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return SyscallFailed(errno, "getrlimit");
  const rlimit before = limit;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
  if (before.rlim_cur >= limit.rlim_cur) return {};
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return SyscallFailed(errno, "setrlimit");
  descriptor_limit_before = before;
  return {};
}

Result<DescriptorLimit> DescriptorLimitForOthers() {
  rlimit limit{};
  if (descriptor_limit_before) {
    limit = *descriptor_limit_before;
  } else if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return SyscallFailed(errno, "getrlimit");
  }
  return DescriptorLimit{limit.rlim_cur, limit.rlim_max};
}

std::vector<std::string> EnvironmentForOthers(const char* const* environment) {
  static constexpr std::string_view kForUsAlone[] = {"NOTIFY_SOCKET=", "WATCHDOG_",      "LISTEN_",
                                                     "MAINPID=",       "INVOCATION_ID=", "JOURNAL_STREAM="};
  std::vector<std::string> kept;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (std::none_of(std::begin(kForUsAlone), std::end(kForUsAlone),
                     [&](std::string_view prefix) { return entry.substr(0, prefix.size()) == prefix; }))
      kept.emplace_back(entry);
  }
  return kept;
}

Result<Child> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return SyscallFailed(EINVAL, "start a program without a name");
  Plan plan;
  plan.options = &options;
  for (const auto& arg : options.argv) plan.argv.push_back(const_cast<char*>(arg.c_str()));
  plan.argv.push_back(nullptr);
  for (const auto& entry : options.env) plan.env.push_back(const_cast<char*>(entry.c_str()));
  plan.env.push_back(nullptr);
  plan.fds = options.fds;
  for (const auto& fd : plan.fds) plan.highest_to = fd.to > plan.highest_to ? fd.to : plan.highest_to;
  if (options.oom_score_adj) {
    plan.oom_score_adj_length = static_cast<std::size_t>(
        std::snprintf(plan.oom_score_adj, sizeof plan.oom_score_adj, "%d", *options.oom_score_adj));
  }
  for (auto above = options.hide_mount; above.size() > 1 && above[0] == '/';) {
    above.resize(above.rfind('/'));
    if (above.empty()) above = "/";
    plan.above_hidden.push_back(above);
  }
  ::sigemptyset(&plan.signals);

  // No handler of ours may run in the child on our memory.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = VforkAndRun(&plan);
  const int fork_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);

  if (pid < 0) return SyscallFailed(fork_errno, "vfork for '" + options.argv[0] + "'");
  if (plan.failed_stage != nullptr) {
    const int err = plan.failed_errno;
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return SyscallFailed(err, std::string(plan.failed_stage) + " of '" + options.argv[0] + "'");
  }
  // Not reaped yet, so the pid cannot have been given to another.
  auto pidfd = PidfdOpen(pid);
  if (!pidfd) {
    const int err = pidfd.error().err;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return SyscallFailed(err, "pidfd_open of '" + options.argv[0] + "'");
  }
  return Child{pid, std::move(*pidfd)};
}

}  // namespace berth::base
