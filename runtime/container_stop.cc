// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kBusyNs = 100 * base::kSecondNs;
constexpr std::int64_t kQuickNs = 5 * base::kSecondNs;
constexpr std::int64_t kLookNs = base::kSecondNs;
// After SIGKILL; kubelet adds two minutes to the grace.
constexpr std::int64_t kDeathNs = 60 * base::kSecondNs;
// How long a monitor may owe the end of a container whose processes are gone. The kernel's log is read and
// the record written within milliseconds; a disk that is slow makes its fsync wait, and then it is in state
// D.
constexpr std::int64_t kMonitorPatienceNs = 20 * base::kSecondNs;
constexpr std::int64_t kLongestGraceS = 1'000'000'000;

absl::Status Kill(Core& core, Container& container, const std::string& cause, std::int64_t grace_ms) {
  BERTH_FAULT_POINT("runtime.kill");
  // A monitor that was silent a moment ago is not asked again: its pod's other containers wait as well.
  const base::Deadline deadline = base::Deadline::After(kQuickNs);
  if (auto monitor = container.pod()->Monitor(deadline); monitor.ok()) {
    const auto killed = (*monitor)->Kill({container.id(), cause, grace_ms}, deadline);
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

// It was killed and its end is not told. True: there is nothing left to wait for.
bool SeeTo(Core& core, Container& container, base::Deadline owed_until) {
  const auto identity = FindMonitor(core, *container.pod());
  if (!identity) {
    EndLostContainer(core, container);
    return true;
  }
  if (!ProcessesOf(core, container.record().status.cgroup).empty()) return false;
  // Only the monitor knows the end, and whether the kernel killed it for memory.
  return NudgeMonitor(*container.pod(), *identity, owed_until) &&
         container.state() == ContainerState::kExited;
}

absl::Status WaitForEnd(Core& core, Container& container, Progress& progress, const absl::Status& killed) {
  const base::Deadline deadline = base::Deadline::After(kDeathNs);
  const base::Deadline again = base::Deadline::After(2 * kQuickNs);
  const base::Deadline owed_until = base::Deadline::After(kMonitorPatienceNs);
  bool by_cgroup = false;
  std::string waits_for;
  while (!deadline.Passed()) {
    if (container.WaitEnded(base::Deadline::After(kLookNs)) || container.ReadEnd()) return absl::OkStatus();
    if (core.stopping) return absl::UnavailableError("berthd is stopping");
    if (SeeTo(core, container, owed_until)) return absl::OkStatus();
    waits_for = DescribeLeft(core, *container.pod(), container.record().status.cgroup);
    progress.WaitsFor(waits_for);
    if (by_cgroup || !again.Passed()) continue;
    by_cgroup = true;  // the monitor said yes, and they live: nothing depends on its being well
    if (auto cgroup = core.options.cgroups->At(container.record().status.cgroup); cgroup.ok())
      (void)(*cgroup)->KillAll(base::Deadline::After(kQuickNs));
  }
  if (!killed.ok()) return base::Annotate(killed, "kill the container");
  return absl::DeadlineExceededError(absl::StrCat("container '", container.id(), "' was killed ",
                                                  kDeathNs / base::kSecondNs,
                                                  " s ago and has not ended: waits for ", waits_for));
}

absl::Status Stop(Core& core, Container& container, const std::string& cause, Progress& progress) {
  // Nothing of it can run yet, and who makes it looks afterwards whether the pod is still there: what hangs
  // in its mounts keeps no pod from being stopped.
  if (container.record().stage == ContainerStage::kCreating) return absl::OkStatus();
  progress.Enter("wait for what is under way");
  BERTH_RETURN_IF_ERROR(WaitForStart(container));
  const ContainerRecord record = container.record();
  if (record.status.state == ContainerState::kExited) {
    (void)container.WaitEnded(base::Deadline::After(kQuickNs));  // the list shows it by the time we return
    return absl::OkStatus();
  }
  // A start whose caller gave up may still succeed.
  if (record.status.state != ContainerState::kRunning && record.stage != ContainerStage::kStarting)
    return absl::OkStatus();
  const std::int64_t begun_ns = base::MonotonicNs();
  std::int64_t grace_ms = 0;
  if (const std::int64_t left = container.GraceLeftNs(); left > 0) {
    progress.Enter("grace");
    const std::int64_t whole_s = (left + base::kSecondNs / 2) / base::kSecondNs;
    if (SendSignal(container, record.status.stop_signal, whole_s, cause)) {
      switch (container.WaitGrace()) {
        case Container::Grace::kEnded:
          return absl::OkStatus();
        case Container::Grace::kInterrupted:
          return absl::UnavailableError(
              "berthd is stopping; the next one ends the container when asked again");
        case Container::Grace::kOver:
          break;
      }
      grace_ms = (base::MonotonicNs() - begun_ns + base::kSecondNs / 2) / base::kSecondNs * 1000;
    }
  }
  progress.Enter("kill");
  const absl::Status killed = Kill(core, container, cause, grace_ms);
  progress.Enter("wait for its end");
  return WaitForEnd(core, container, progress, killed);
}

absl::Status Remove(Core& core, Container& container, Progress& progress) {
  BERTH_RETURN_IF_ERROR(KillContainerNow(core, container, "remove", progress));
  progress.Enter("wait for what is under way");
  auto activity = container.activity().Begin("remove", base::Deadline::After(kBusyNs));
  if (!activity.ok()) return activity.status();
  if (core.FindContainer(container.id()) == nullptr) return absl::OkStatus();  // another remove was first
  if (container.state() == ContainerState::kRunning) {
    return absl::AbortedError(absl::StrCat("container '", container.id(), "' was started meanwhile"));
  }
  progress.Enter("remove");
  return DiscardContainer(core, container);
}

}  // namespace

absl::Status StopContainer(Core& core, const std::shared_ptr<Container>& container, std::int64_t grace_s,
                           const std::string& cause, const Caller& caller) {
  if (container->record().stage == ContainerStage::kCreating) return absl::OkStatus();
  grace_s = std::clamp<std::int64_t>(grace_s, 0, kLongestGraceS);
  container->ShortenGrace(base::Deadline::After(grace_s * base::kSecondNs));
  return core.operations.Do(
      "stop/" + container->id(), absl::StrCat("stopping container '", container->id(), "'"),
      [&core, container, cause](Progress& progress) { return Stop(core, *container, cause, progress); },
      caller);
}

absl::Status KillContainerNow(Core& core, Container& container, const std::string& cause,
                              Progress& progress) {
  container.ShortenGrace(base::Deadline::After(0));
  return Stop(core, container, cause, progress);
}

absl::Status RemoveContainer(Core& core, const std::shared_ptr<Container>& container, const Caller& caller) {
  container->ShortenGrace(base::Deadline::After(0));
  return core.operations.Do(
      "remove/" + container->id(), absl::StrCat("removing container '", container->id(), "'"),
      [&core, container](Progress& progress) { return Remove(core, *container, progress); }, caller);
}

absl::Status RemoveContainerNow(Core& core, Container& container, Progress& progress) {
  return Remove(core, container, progress);
}

}  // namespace berth::runtime
