// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kBusyNs = 100 * base::kSecondNs;
constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;
constexpr std::int64_t kDeathNs =
    60 * base::kSecondNs;  // after SIGKILL; kubelet adds two minutes to the grace
constexpr std::int64_t kLongestGraceS = 1'000'000'000;

// " (dd, state D)" from /proc/<pid>/stat. The name is the process's own choice: anything may be in it.
std::string ShownProcess(const std::string& stat) {
  const auto open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open || close + 2 >= stat.size())
    return "";
  std::string name = stat.substr(open + 1, close - open - 1);
  for (char& c : name) {
    if (c < 0x20 || c == 0x7f) c = '?';
  }
  return absl::StrCat(" (", name, ", state ", stat.substr(close + 2, 1), ")");
}

// What keeps a killed container from ending, for people: "pid 812 (dd, state D)".
std::string WhatIsLeft(Core& core, const std::string& path) {
  const auto cgroup = core.options.cgroups->At(path);
  if (!cgroup.ok()) return "unknown";
  const auto pids = (*cgroup)->Processes();
  if (!pids.ok() || pids->empty()) return "no process is left in its cgroup, but its end was not reported";
  std::vector<std::string> lines;
  for (const pid_t pid : *pids) {
    if (lines.size() == 5) break;
    auto stat = base::ReadFile(absl::StrCat("/proc/", pid, "/stat"));
    lines.push_back(absl::StrCat("pid ", pid, stat.ok() ? ShownProcess(*stat) : " (just gone)"));
  }
  return absl::StrJoin(lines, ", ");
}

absl::Status Kill(Core& core, Container& container, const std::string& cause, std::int64_t grace_ms) {
  BERTH_FAULT_POINT("runtime.kill");
  if (auto monitor = container.pod()->Monitor(base::Deadline::After(kQuickNs)); monitor.ok()) {
    const auto killed = (*monitor)->Kill({container.id(), cause, grace_ms}, base::Deadline::After(kQuickNs));
    if (killed.ok()) return killed;
    if (absl::IsFailedPrecondition(killed) || absl::IsNotFound(killed)) {
      if (container.ReadEnd()) return absl::OkStatus();
    }
    base::LogWarning("the monitor did not kill; killing by cgroup",
                     {{"container", container.id()}, {"error", killed}});
  }
  // Nothing depends on the monitor being well.
  BERTH_ASSIGN_OR_RETURN(auto cgroup,
                         base::ToStatusOr(core.options.cgroups->At(container.record().status.cgroup)));
  return base::ToStatus(cgroup->KillAll(base::Deadline::After(kQuickNs)));
}

// False: could not be sent, so the kill must not wait for the grace.
bool SendSignal(Container& container, int signal, std::int64_t grace_s, const std::string& cause) {
  if (!container.ClaimSignal()) return true;
  BERTH_FAULT_POINT("runtime.signal");
  absl::Status sent;
  if (auto monitor = container.pod()->Monitor(base::Deadline::After(kQuickNs)); monitor.ok()) {
    sent =
        (*monitor)->Signal({container.id(), signal, cause, grace_s * 1000}, base::Deadline::After(kQuickNs));
  } else {
    sent = monitor.status();
  }
  if (sent.ok()) return true;
  container.ReleaseSignal();
  base::LogWarning("could not send the stop signal", {{"container", container.id()}, {"error", sent}});
  return false;
}

absl::Status WaitForStart(Container& container) {
  // A start that is under way ends one way or the other first.
  return container.activity().Begin("stop", base::Deadline::After(kBusyNs)).status();
}

}  // namespace

absl::Status StopContainer(Core& core, Container& container, std::int64_t grace_s, const std::string& cause) {
  // Nothing of it can run yet, and who makes it looks afterwards whether the pod is still there: what hangs
  // in its mounts keeps no pod from being stopped.
  if (container.record().stage == ContainerStage::kCreating) return absl::OkStatus();
  BERTH_RETURN_IF_ERROR(WaitForStart(container));
  const ContainerRecord record = container.record();
  if (record.status.state == ContainerState::kExited) {
    (void)container.WaitEnded(base::Deadline::After(kQuickNs));  // the list shows it by the time we return
    return absl::OkStatus();
  }
  // A start whose caller gave up may still succeed.
  if (record.status.state != ContainerState::kRunning && record.stage != ContainerStage::kStarting)
    return absl::OkStatus();
  grace_s = std::clamp<std::int64_t>(grace_s, 0, kLongestGraceS);
  if (grace_s > 0 && SendSignal(container, record.status.stop_signal, grace_s, cause)) {
    if (container.WaitGrace(base::Deadline::After(grace_s * base::kSecondNs))) return absl::OkStatus();
  } else {
    (void)container.WaitGrace(base::Deadline::After(0));  // others with a grace: it is over
  }
  const base::Deadline deadline = base::Deadline::After(kDeathNs);
  const absl::Status killed = Kill(core, container, cause, grace_s * 1000);
  if (container.WaitEnded(base::Deadline::After(kQuickNs)) || container.ReadEnd()) return absl::OkStatus();
  if (!FindMonitor(core, *container.pod())) {
    EndLostContainer(core, container);
    return absl::OkStatus();
  }
  if (container.WaitEnded(deadline) || container.ReadEnd()) return absl::OkStatus();
  if (!killed.ok()) return base::Annotate(killed, "kill the container");
  return absl::DeadlineExceededError(
      absl::StrCat("container '", container.id(), "' was killed ", kDeathNs / base::kSecondNs,
                   " s ago and has not ended: ", WhatIsLeft(core, record.status.cgroup)));
}

absl::Status RemoveContainer(Core& core, Container& container) {
  BERTH_RETURN_IF_ERROR(StopContainer(core, container, 0, "remove"));
  auto activity = container.activity().Begin("remove", base::Deadline::After(kBusyNs));
  if (!activity.ok()) return activity.status();
  if (core.FindContainer(container.id()) == nullptr) return absl::OkStatus();  // another remove was first
  if (container.state() == ContainerState::kRunning) {
    return absl::AbortedError(absl::StrCat("container '", container.id(), "' was started meanwhile"));
  }
  return DiscardContainer(core, container);
}

}  // namespace berth::runtime
