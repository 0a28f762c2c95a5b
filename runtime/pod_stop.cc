// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <csignal>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pod_cgroup.h"
#include "runtime/pod_files.h"

namespace berth::runtime {
namespace {

// Below kubelet's two minutes, so that the error with its reason arrives.
constexpr std::int64_t kWaitNs = 100 * base::kSecondNs;
constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;
constexpr std::int64_t kFirstGapNs = base::kSecondNs;

absl::Status StopContainers(Core& core, Pod& pod) {
  // At the same time: each may need its time to die.
  std::vector<std::thread> threads;
  std::mutex mutex;
  absl::Status failed;
  for (const auto& container : pod.containers()) {
    threads.emplace_back([&, container] {
      const auto stopped = StopContainer(core, *container, 0, "pod stop");
      if (stopped.ok()) return;
      const std::lock_guard lock(mutex);
      failed = base::Annotate(stopped, absl::StrCat("container ", container->id()));
    });
  }
  for (auto& thread : threads) thread.join();
  return failed;
}

absl::Status GiveNetworkBack(Core& core, const Pod& pod) {
  if (pod.record().status.config.namespaces.network == NamespaceMode::kNode) return absl::OkStatus();
  return DetachNetwork(core, pod.id());
}

bool WaitGone(int pidfd, std::int64_t ns) {
  pollfd fd{pidfd, POLLIN, 0};
  const base::Deadline deadline = base::Deadline::After(ns);
  while (::poll(&fd, 1, deadline.PollMs()) < 0 && errno == EINTR) {
  }
  return base::PidfdExited(pidfd);
}

// Its containers have ended: nothing is lost with it.
absl::Status EndMonitor(Pod& pod, const base::ProcessIdentity& identity) {
  const auto process = base::OpenProcess(identity);
  if (!process.ok()) return absl::OkStatus();
  if (pod.ConnectedMonitor() != nullptr || pod.ConnectMonitor(base::Deadline::After(kQuickNs)).ok()) {
    const auto sent_home = pod.ConnectedMonitor() == nullptr
                               ? absl::UnavailableError("disconnected")
                               : pod.ConnectedMonitor()->Shutdown(base::Deadline::After(kQuickNs));
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
  BERTH_RETURN_IF_ERROR(monitor::Unpin(pod.places().pins));
  return UnmountShm(pod.places());
}

absl::Status EraseFiles(Pod& pod) {
  BERTH_FAULT_POINT("runtime.pod_files_erase");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::RemoveTree(pod.places().state)));
  return base::ToStatus(base::RemoveTree(pod.places().root));
}

absl::Status EraseRecord(Core& core, Pod& pod) {
  BERTH_FAULT_POINT("runtime.pod_record_erase");
  BERTH_RETURN_IF_ERROR(core.options.store->Write(
      [&](store::Transaction& transaction) { return transaction.DeletePod(pod.id()); }));
  core.ErasePod(pod.id());
  pod.Hide();
  return absl::OkStatus();
}

absl::Status StopHeld(Core& core, Pod& pod) {
  const PodStage stage = pod.record().stage;
  if (stage == PodStage::kStopped || stage == PodStage::kRemoving) return absl::OkStatus();
  // NOTREADY before anything is taken down, and never READY again.
  BERTH_RETURN_IF_ERROR(pod.Change([](PodRecord& record) {
    record.stage = PodStage::kStopping;
    record.status.state = PodState::kNotReady;
  }));
  pod.Show();
  BERTH_FAULT_POINT("runtime.pod_stopping");
  core.operations.RollBackUnclaimed(
      [&](const std::string& key) { return key.rfind("container/" + pod.id() + "/", 0) == 0; });
  BERTH_RETURN_IF_ERROR(StopContainers(core, pod));
  BERTH_RETURN_IF_ERROR(GiveNetworkBack(core, pod));
  BERTH_RETURN_IF_ERROR(EndHelpers(core, pod));
  BERTH_RETURN_IF_ERROR(FreePlaces(pod));
  BERTH_FAULT_POINT("runtime.pod_stopped");
  BERTH_RETURN_IF_ERROR(pod.Change([](PodRecord& record) { record.stage = PodStage::kStopped; }));
  base::LogInfo("pod stopped", {{"pod", pod.id()}});
  return absl::OkStatus();
}

}  // namespace

absl::Status StopPod(Core& core, Pod& pod) {
  auto activity = pod.activity().Begin("stop", base::Deadline::After(kWaitNs));
  if (!activity.ok()) return activity.status();
  if (core.FindPod(pod.id()) == nullptr) return absl::OkStatus();  // it was removed meanwhile
  return StopHeld(core, pod);
}

absl::Status RemovePod(Core& core, Pod& pod) {
  auto activity = pod.activity().Begin("remove", base::Deadline::After(kWaitNs));
  if (!activity.ok()) return activity.status();
  if (core.FindPod(pod.id()) == nullptr) return absl::OkStatus();  // another remove was first
  BERTH_RETURN_IF_ERROR(StopHeld(core, pod));
  BERTH_RETURN_IF_ERROR(pod.Change([](PodRecord& record) { record.stage = PodStage::kRemoving; }));
  for (const auto& container : pod.containers()) BERTH_RETURN_IF_ERROR(RemoveContainer(core, *container));
  BERTH_RETURN_IF_ERROR(RemovePodCgroup(core, pod));
  BERTH_RETURN_IF_ERROR(EraseFiles(pod));
  BERTH_RETURN_IF_ERROR(EraseRecord(core, pod));
  base::LogInfo("pod removed", {{"pod", pod.id()}});
  return absl::OkStatus();
}

void DiscardPod(Core& core, Pod& pod) {
  const auto note = [&](const absl::Status& status, const char* step) {
    if (!status.ok())
      base::LogError("could not undo a step of a pod",
                     {{"pod", pod.id()}, {"step", step}, {"error", status}});
  };
  (void)pod.Change([](PodRecord& record) {
    record.stage = PodStage::kStopping;
    record.status.state = PodState::kNotReady;
  });
  note(StopContainers(core, pod), "containers");
  for (const auto& container : pod.containers()) note(RemoveContainer(core, *container), "containers");
  const absl::Status detached = GiveNetworkBack(core, pod);
  note(detached, "network");
  note(EndHelpers(core, pod), "monitor");
  note(FreePlaces(pod), "namespaces");
  note(RemovePodCgroup(core, pod), "cgroup");
  note(EraseFiles(pod), "files");
  const absl::Status erased = EraseRecord(core, pod);
  note(erased, "record");
  if (!erased.ok()) pod.Show();  // its name is still taken: who sees it can remove it
  // The attachment's record outlives the pod's.
  if (!detached.ok()) RetryOrphanedNetworksLater(core, kFirstGapNs);
}

}  // namespace berth::runtime
