// SPDX-License-Identifier: Apache-2.0
#include "runtime/monitors.h"

#include <poll.h>

#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/pod_cgroup.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;
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

std::optional<base::ProcessIdentity> FindMonitor(const Core& core, const Pod& pod) {
  const base::ProcessIdentity recorded = pod.record().monitor;
  if (base::OpenProcess(recorded).ok()) return recorded;
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
    core.executor.Submit([&core, container_id] { TakeExit(core, container_id); });
  });
}

absl::Status FromMonitor(const absl::Status& status) {
  return absl::IsNotFound(status) ? base::WithCode(absl::StatusCode::kInternal, status, "the pod's monitor")
                                  : status;
}

void EndLostContainer(Core& core, Container& container) {
  const ContainerRecord now = container.record();
  if (container.ReadEnd()) return;
  bool by_itself = false;
  if (const int pidfd = container.init_pidfd(); pidfd >= 0) by_itself = base::PidfdExited(pidfd);
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
  lost.ask_kernel = by_itself;
  container.EndWithoutMonitor(lost);
  UpdatePodLimits(*container.pod());
}

}  // namespace berth::runtime
