// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/bundle.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/parallel.h"
#include "runtime/pod_cgroup.h"
#include "runtime/pod_files.h"

namespace berth::runtime {
namespace {

// Below kubelet's two minutes, so that the error with its reason arrives.
constexpr std::int64_t kWaitNs = 100 * base::kSecondNs;
constexpr std::int64_t kQuickNs = 5 * base::kSecondNs;
constexpr std::int64_t kFirstGapNs = base::kSecondNs;
constexpr std::int64_t kLongestGapNs = 60 * base::kSecondNs;

absl::Status StopContainers(Core& core, Pod& pod, Progress& progress) {
  progress.Enter("containers");
  // At the same time: each may need its time to die.
  std::mutex mutex;
  absl::Status failed;
  ForEachAtOnce(pod.containers(), [&](const std::shared_ptr<Container>& container) {
    Progress own("stopping a container");
    const auto stopped = KillContainerNow(core, *container, "pod stop", own);
    if (stopped.ok()) return;
    const std::lock_guard lock(mutex);
    failed = base::Annotate(stopped, absl::StrCat("container ", container->id()));
  });
  return failed;
}

absl::Status GiveNetworkBack(Core& core, const Pod& pod) {
  if (pod.record().status.config.namespaces.network == NamespaceMode::kNode) return absl::OkStatus();
  return DetachNetwork(core, pod.id());
}

// Its containers have ended: nothing is lost with it.
absl::Status EndMonitor(Pod& pod, const base::ProcessIdentity& identity) {
  const auto process = base::OpenProcess(identity);
  if (!process.ok()) return process.error().err == ESRCH ? absl::OkStatus() : base::ToStatus(process.error());
  if (pod.ConnectedMonitor() != nullptr || pod.ConnectMonitor(base::Deadline::After(kQuickNs)).ok()) {
    const auto client = pod.ConnectedMonitor();
    const auto sent_home = client == nullptr ? absl::UnavailableError("disconnected")
                                             : client->Shutdown(base::Deadline::After(kQuickNs));
    if (sent_home.ok() && WaitGone(process->get(), kQuickNs)) return absl::OkStatus();
    base::LogWarning("monitor did not shut down; ending it", {{"pod", pod.id()}, {"error", sent_home}});
  }
  BERTH_FAULT_POINT("runtime.monitor_kill");
  (void)base::PidfdSignal(process->get(), SIGKILL);
  if (WaitGone(process->get(), kQuickNs)) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("monitor ", identity.pid, " was killed and has not ended"));
}

absl::Status EndHelpers(Core& core, Pod& pod) {
  const PodRecord record = pod.record();
  if (const auto monitor = FindMonitor(core, pod)) BERTH_RETURN_IF_ERROR(EndMonitor(pod, *monitor));
  pod.Disconnect();
  if (record.status.config.namespaces.pid == NamespaceMode::kPod) {
    BERTH_ASSIGN_OR_RETURN(auto cgroup,
                           base::ToStatusOr(core.options.cgroups->At(HolderCgroup(core.options, pod.id()))));
    BERTH_FAULT_POINT("runtime.holder_kill");
    BERTH_RETURN_IF_ERROR(base::ToStatus(cgroup->KillAll(base::Deadline::After(kQuickNs))));
    BERTH_RETURN_IF_ERROR(base::ToStatus(cgroup->Remove()));
  }
  return absl::OkStatus();
}

absl::Status FreePlaces(Pod& pod) {
  BERTH_FAULT_POINT("runtime.unpin");
  for (const auto& container : pod.containers())
    BERTH_RETURN_IF_ERROR(UnpinTarget(TargetPin(container->places())));
  BERTH_RETURN_IF_ERROR(monitor::Unpin(pod.places().pins));
  return UnmountShm(pod.places());
}

absl::Status EraseFiles(Pod& pod) {
  BERTH_FAULT_POINT("runtime.pod_files_erase");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::RemoveTree(pod.places().state)));
  const oci::Handler* handler = pod.core().options.handlers->Find(pod.record().handler);
  if (handler != nullptr && !handler->config.root.empty())
    BERTH_RETURN_IF_ERROR(
        base::ToStatus(base::RemoveTree(absl::StrCat(handler->config.root, "/", pod.id()))));
  return base::ToStatus(base::RemoveTree(pod.places().root));
}

void EraseRecord(Core& core, Pod& pod) {
  BERTH_FAULT_POINT("runtime.pod_record_erase");
  core.erasures.Pod(pod.id());
  core.ErasePod(pod.id());
  pod.Hide();
}

absl::Status StopHeld(Core& core, Pod& pod, Progress& progress) {
  const PodStage stage = pod.record().stage;
  if (stage == PodStage::kStopped || stage == PodStage::kRemoving) return absl::OkStatus();
  // NOTREADY before anything is taken down, and never READY again.
  pod.Intend([](PodRecord& record) {
    record.stage = PodStage::kStopping;
    record.status.state = PodState::kNotReady;
  });
  pod.Show();
  BERTH_FAULT_POINT("runtime.pod_stopping");
  core.operations.RollBackUnclaimed(
      [&](const std::string& key) { return key.rfind("container/" + pod.id() + "/", 0) == 0; });
  BERTH_RETURN_IF_ERROR(StopContainers(core, pod, progress));
  progress.Enter("network DEL");
  BERTH_RETURN_IF_ERROR(GiveNetworkBack(core, pod));
  progress.Enter("monitor");
  BERTH_RETURN_IF_ERROR(EndHelpers(core, pod));
  progress.Enter("namespaces");
  BERTH_RETURN_IF_ERROR(FreePlaces(pod));
  BERTH_FAULT_POINT("runtime.pod_stopped");
  pod.Intend([](PodRecord& record) { record.stage = PodStage::kStopped; });
  base::LogInfo("pod stopped", {{"pod", pod.id()}});
  return absl::OkStatus();
}

absl::Status StopNow(Core& core, Pod& pod, Progress& progress) {
  progress.Enter("wait for what is under way");
  auto activity = pod.activity().Begin("stop", base::Deadline::After(kWaitNs));
  if (!activity.ok()) return activity.status();
  if (core.FindPod(pod.id()) == nullptr) return absl::OkStatus();  // it was removed meanwhile
  return StopHeld(core, pod, progress);
}

absl::Status RemoveNow(Core& core, Pod& pod, Progress& progress) {
  progress.Enter("wait for what is under way");
  auto activity = pod.activity().Begin("remove", base::Deadline::After(kWaitNs));
  if (!activity.ok()) return activity.status();
  if (core.FindPod(pod.id()) == nullptr) return absl::OkStatus();  // another remove was first
  BERTH_RETURN_IF_ERROR(StopHeld(core, pod, progress));
  pod.Intend([](PodRecord& record) { record.stage = PodStage::kRemoving; });
  for (const auto& container : pod.containers()) {
    progress.Enter(absl::StrCat("container ", base::ShortId(container->id())));
    BERTH_RETURN_IF_ERROR(RemoveContainerNow(core, *container, progress));
  }
  progress.Enter("cgroup");
  BERTH_RETURN_IF_ERROR(RemovePodCgroup(core, pod));
  progress.Enter("files");
  BERTH_RETURN_IF_ERROR(EraseFiles(pod));
  EraseRecord(core, pod);
  base::LogInfo("pod removed", {{"pod", pod.id()}});
  return absl::OkStatus();
}

// The operation that callers and our own later attempts join.
struct TakeDown {
  TakeDown(Core& core, const std::shared_ptr<Pod>& pod, Finish how)
      : key(absl::StrCat(how == Finish::kRemove ? "remove/" : "stop/", pod->id())),
        what(absl::StrCat(how == Finish::kRemove ? "removing pod '" : "stopping pod '", pod->id(), "'")),
        work([&core, pod, how](Progress& progress) {
          return how == Finish::kRemove ? RemoveNow(core, *pod, progress) : StopNow(core, *pod, progress);
        }) {}
  std::string key, what;
  std::function<absl::Status(Progress&)> work;
};

}  // namespace

absl::Status StopPod(Core& core, const std::shared_ptr<Pod>& pod, const Caller& caller) {
  const TakeDown stop(core, pod, Finish::kStop);
  return core.operations.Do(stop.key, stop.what, stop.work, caller);
}

absl::Status RemovePod(Core& core, const std::shared_ptr<Pod>& pod, const Caller& caller) {
  const TakeDown remove(core, pod, Finish::kRemove);
  return core.operations.Do(remove.key, remove.what, remove.work, caller);
}

void FinishPod(Core& core, const std::shared_ptr<Pod>& pod, Finish how, std::int64_t gap_ns) {
  if (core.FindPod(pod->id()) == nullptr) return;
  const TakeDown take_down(core, pod, how);
  const absl::Status finished = core.operations.DoHere(take_down.key, take_down.what, take_down.work);
  if (finished.ok() || core.stopping) return;
  base::LogWarning("could not take a pod down; it is tried again", {{"pod", pod->id()}, {"error", finished}});
  FinishPodLater(core, pod, how, gap_ns);
}

void FinishPodLater(Core& core, const std::shared_ptr<Pod>& pod, Finish how, std::int64_t gap_ns) {
  core.timers.After(gap_ns, [&core, pod, how, next = std::min(gap_ns * 2, kLongestGapNs)] {
    core.executor.Submit([&core, pod, how, next] { FinishPod(core, pod, how, next); });
  });
}

void DiscardPod(Core& core, Pod& pod) {
  bool clean = true;
  const auto note = [&](const absl::Status& status, const char* step) {
    if (status.ok()) return;
    clean = false;
    base::LogError("could not undo a step of a pod", {{"pod", pod.id()}, {"step", step}, {"error", status}});
  };
  Progress progress("undoing a pod");
  pod.Intend([](PodRecord& record) {
    record.stage = PodStage::kStopping;
    record.status.state = PodState::kNotReady;
  });
  note(StopContainers(core, pod, progress), "containers");
  for (const auto& container : pod.containers())
    note(RemoveContainerNow(core, *container, progress), "containers");
  if (const absl::Status detached = GiveNetworkBack(core, pod); !detached.ok()) {
    base::LogError("could not give the network of a pod back; it is tried again",
                   {{"pod", pod.id()}, {"error", detached}});
    RetryOrphanedNetworksLater(core, kFirstGapNs);  // the attachment's record outlives the pod's
  }
  note(EndHelpers(core, pod), "monitor");
  note(FreePlaces(pod), "namespaces");
  note(RemovePodCgroup(core, pod), "cgroup");
  note(EraseFiles(pod), "files");
  if (clean) {
    EraseRecord(core, pod);
  } else {
    pod.Show();  // its name is still taken: who sees it can remove it, and we go on trying
    FinishPodLater(core, pod.shared_from_this(), Finish::kRemove, kFirstGapNs);
  }
}

}  // namespace berth::runtime
