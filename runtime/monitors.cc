// SPDX-License-Identifier: Apache-2.0
#include "runtime/monitors.h"

#include <poll.h>

#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/pod_cgroup.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;
constexpr std::int64_t kReapNs = base::kSecondNs;
constexpr int kMonitorOomScore = -999;  // best effort: without CAP_SYS_RESOURCE it stays what it was

std::string Under(const std::string& root, const std::string& path) {
  return root == "/" ? "/" + path : root + "/" + path;
}

std::string MonitorsCgroup(const Options& options) { return Under(options.cgroup_root, "berth-monitors"); }

bool ServesPod(pid_t pid, const std::string& pod_id) {
  const auto command = base::ReadFile(absl::StrCat("/proc/", pid, "/cmdline"));
  return command.ok() && absl::StrContains(*command, absl::string_view(pod_id));
}

}  // namespace

bool IsDead(const base::ProcessIdentity& identity) {
  const auto process = base::OpenProcess(identity);
  return !process.ok() && process.error().err == ESRCH;
}

std::optional<base::ProcessIdentity> FindMonitor(const Core& core, const Pod& pod) {
  const base::ProcessIdentity recorded = pod.record().monitor;
  if (!IsDead(recorded)) return recorded;
  const auto cgroup = core.options.cgroups->At(MonitorsCgroup(core.options));
  if (!cgroup.ok()) return std::nullopt;
  const auto pids = (*cgroup)->Processes();
  if (!pids.ok()) return std::nullopt;
  for (const pid_t pid : *pids) {
    const auto identity = base::IdentifyProcess(pid);
    if (identity.ok() && ServesPod(pid, pod.id())) return *identity;
  }
  return std::nullopt;
}

std::string HolderCgroup(const Options& options, const std::string& pod_id) {
  return Under(options.cgroup_root, "berth-pause/" + pod_id);
}

absl::StatusOr<monitor::LaunchOptions> MonitorLaunchOptions(Core& core, const Pod& pod) {
  BERTH_ASSIGN_OR_RETURN(auto cgroup,
                         base::ToStatusOr(core.options.cgroups->At(MonitorsCgroup(core.options))));
  BERTH_RETURN_IF_ERROR(base::ToStatusOr(cgroup->Create()).status());
  monitor::LaunchOptions options;
  options.program = core.options.monitor_program;
  options.pod_id = pod.id();
  options.pod_dir = pod.places().state;
  options.log_file = pod.places().monitor_log;
  options.cgroup_procs = cgroup->ProcsFiles();
  options.oom_score_adj = kMonitorOomScore;
  options.kmsg_path = core.options.kernel_log;
  return options;
}

bool AfterExit(Container& container) {
  if (!container.ReadEnd()) return false;
  const auto& pod = container.pod();
  if (const auto monitor = pod->ConnectedMonitor(); monitor != nullptr) {
    const auto forgotten = monitor->Forget(container.id(), base::Deadline::After(kQuickNs));
    if (!forgotten.ok() && !absl::IsNotFound(forgotten))
      base::LogDebug("monitor did not forget", {{"container", container.id()}, {"error", forgotten}});
  }
  UpdatePodLimits(*pod);
  return true;
}

void TakeExit(Core& core, const std::string& container_id) {
  const auto container = core.FindContainer(container_id);
  if (container == nullptr || AfterExit(*container)) return;
  if (container->state() == ContainerState::kExited) return;
  core.timers.After(base::kSecondNs, [&core, container_id] {
    core.events.Submit([&core, container_id] { TakeExit(core, container_id); });
  });
}

absl::Status FromMonitor(const absl::Status& status) {
  return absl::IsNotFound(status) ? base::WithCode(absl::StatusCode::kInternal, status, "the pod's monitor")
                                  : status;
}

namespace {

// The exit status of a process whose parent is not us and perhaps nobody: from the pidfd (Linux 6.15, once it
// was reaped), else from /proc while it is a zombie.
std::optional<base::ExitStatus> AskKernel(const Container& container, const base::ProcessIdentity& init) {
  if (const int pidfd = container.init_pidfd(); pidfd >= 0) {
    if (!WaitGone(pidfd, kReapNs)) return std::nullopt;
    if (const auto status = base::PidfdExitStatus(pidfd); status.ok()) return *status;
  }
  const auto status = base::ZombieExitStatus(init);
  return status.ok() ? std::optional(*status) : std::nullopt;
}

std::string Brief(pid_t pid) {
  const auto stat = base::ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return absl::StrCat("pid ", pid);
  const auto open = stat->find('('), close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open || close + 2 >= stat->size())
    return absl::StrCat("pid ", pid);
  // The name is the process's own choice: anything may be in it.
  std::string name = stat->substr(open + 1, close - open - 1);
  for (char& c : name) {
    if (c < 0x20 || c == 0x7f) c = '?';
  }
  std::string text = absl::StrCat("pid ", pid, " (", name, ") in state ", stat->substr(close + 2, 1));
  // Where in the kernel it sleeps; "0" where that is not told.
  if (const auto where = base::ReadFile(absl::StrCat("/proc/", pid, "/wchan"));
      where.ok() && !where->empty() && *where != "0")
    absl::StrAppend(&text, " at ", *where);
  return text;
}

char StateOf(pid_t pid) {
  const auto stat = base::ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  const auto close = stat.ok() ? stat->rfind(')') : std::string::npos;
  return close == std::string::npos || close + 2 >= stat->size() ? '?' : (*stat)[close + 2];
}

}  // namespace

bool WaitGone(int pidfd, std::int64_t ns) {
  pollfd fd{pidfd, POLLIN, 0};
  const base::Deadline deadline = base::Deadline::After(ns);
  while (::poll(&fd, 1, deadline.PollMs()) < 0 && errno == EINTR) {
  }
  return base::PidfdExited(pidfd);
}

bool MonitorGone(const Core& core, const Pod& pod) {
  constexpr std::int64_t kDyingNs = 300 * base::kMillisecondNs;
  const auto identity = FindMonitor(core, pod);
  if (!identity) return true;
  const auto process = base::OpenProcess(*identity);
  return process.ok() ? WaitGone(process->get(), kDyingNs) : process.error().err == ESRCH;
}

void EndLostContainer(Core& core, Container& container) {
  const ContainerRecord now = container.record();
  if (container.ReadEnd()) return;
  const bool by_itself = container.init_pidfd() >= 0 && base::PidfdExited(container.init_pidfd());
  if (auto cgroup = core.options.cgroups->At(now.status.cgroup); cgroup.ok()) {
    BERTH_FAULT_POINT("runtime.lost_kill");
    const auto killed = (*cgroup)->KillAll(base::Deadline::After(kQuickNs));
    if (!killed.ok())
      base::LogError("could not end a container whose monitor is lost",
                     {{"container", container.id()}, {"error", killed.error().Message()}});
    if (auto removed = (*cgroup)->Remove(); !removed.ok())
      base::LogWarning("could not remove a cgroup",
                       {{"path", now.status.cgroup}, {"error", removed.error().Message()}});
  }
  Container::LostEnd lost;
  lost.message = by_itself ? "monitor lost"
                           : "monitor lost; the container was killed, since nobody could have told its end";
  // It may have ended by itself between the monitor's death and our kill.
  if (const auto status = AskKernel(container, now.init);
      status && (by_itself || !status->signaled || status->code != SIGKILL)) {
    lost.status = status;
    lost.message = "monitor lost; exit status from the kernel";
  }
  container.EndWithoutMonitor(lost);
  UpdatePodLimits(*container.pod());
}

std::vector<pid_t> ProcessesOf(const Core& core, const std::string& path) {
  const auto cgroup = core.options.cgroups->At(path);
  if (!cgroup.ok()) return {};
  const auto pids = (*cgroup)->Processes();
  if (!pids.ok()) return {};
  std::vector<pid_t> living;
  for (const pid_t pid : *pids) {
    const char state = StateOf(pid);
    if (state != 'Z' && state != 'X' && state != '?') living.push_back(pid);
  }
  return living;
}

std::string DescribeLeft(const Core& core, const Pod& pod, const std::string& cgroup) {
  constexpr std::size_t kMost = 5;
  const std::vector<pid_t> pids = ProcessesOf(core, cgroup);
  if (pids.empty()) {
    const auto monitor = FindMonitor(core, pod);
    return monitor ? absl::StrCat("the pod's monitor, which has not told its end: ", Brief(monitor->pid))
                   : "its end to be told";
  }
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < pids.size() && i < kMost; ++i) lines.push_back(Brief(pids[i]));
  if (pids.size() > kMost) lines.push_back(absl::StrCat(pids.size() - kMost, " more"));
  return absl::StrJoin(lines, ", ");
}

bool NudgeMonitor(Pod& pod, const base::ProcessIdentity& monitor, base::Deadline patience) {
  const auto process = base::OpenProcess(monitor);
  if (!process.ok()) return process.error().err == ESRCH;
  const char state = StateOf(monitor.pid);
  if (state == 'T' || state == 't') {
    base::LogWarning("a pod's monitor is stopped and somebody waits for it; continuing it",
                     {{"pod", pod.id()}, {"monitor", monitor.pid}});
    BERTH_FAULT_POINT("runtime.monitor_continue");
    (void)base::PidfdSignal(process->get(), SIGCONT);
    return false;
  }
  if (!patience.Passed() || state == 'D') return false;
  const auto client = pod.ConnectedMonitor();
  if (client != nullptr && client->List(base::Deadline::After(base::kSecondNs)).ok())
    return false;  // it is well
  base::LogError("a pod's monitor does not answer and is ended; its containers end with it",
                 {{"pod", pod.id()}, {"monitor", monitor.pid}});
  BERTH_FAULT_POINT("runtime.silent_monitor_kill");
  (void)base::PidfdSignal(process->get(), SIGKILL);
  if (!WaitGone(process->get(), kQuickNs)) return false;
  pod.MonitorLost();
  return true;
}

}  // namespace berth::runtime
