// SPDX-License-Identifier: Apache-2.0
// After a start of berthd: the records say what was meant, exit files and monitors say what is. Files win
// over the database.
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pod_cgroup.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kPodBudgetNs = 10 * base::kSecondNs;
constexpr std::int64_t kFirstGapNs = base::kSecondNs;
constexpr int kParallel = 16;

void Discard(Core& core, Container& container) {
  if (auto discarded = DiscardContainer(core, container); !discarded.ok()) {
    base::LogError("could not finish the removal of a container",
                   {{"container", container.id()}, {"error", discarded}});
  }
}

void AfterReboot(Core& core, Container& container) {
  const ContainerStage stage = container.record().stage;
  if (stage == ContainerStage::kCreating || stage == ContainerStage::kRemoving)
    return Discard(core, container);
  if (!container.ReadEnd() && (stage == ContainerStage::kRunning || stage == ContainerStage::kStarting)) {
    Container::LostEnd lost;
    lost.message = "node rebooted";
    lost.finished_at = base::RealtimeNs() - base::BoottimeNs();  // it did not live to see this boot
    container.EndWithoutMonitor(lost);
  }
  container.Show();
}

// What a pod's monitor knows of one of its containers.
void Reconcile(Core& core, Container& container, const monitor::Listed* listed) {
  const ContainerRecord record = container.record();
  switch (record.stage) {
    case ContainerStage::kCreating:
    case ContainerStage::kRemoving:
      return Discard(core, container);
    case ContainerStage::kCreated:
      container.Show();
      return;
    case ContainerStage::kExited:
      container.Show();
      return;
    case ContainerStage::kStarting:
    case ContainerStage::kRunning:
      break;
  }
  if (container.ReadEnd()) return;
  if (listed == nullptr) {
    EndLostContainer(core, container);
    return;
  }
  for (const auto& known : listed->containers) {
    if (known.id != container.id()) continue;
    if (known.state == "running") {
      container.Began({known.pid, known.start_ticks, base::BootId()}, known.started_at);
      return;
    }
    if (known.state == "starting") {
      // Nobody waits for this start any more, but it ends by itself: as RUNNING by the next look, or with its
      // record.
      container.Show();
      return;
    }
  }
  if (container.ReadEnd()) return;  // it ended between the two looks
  if (record.stage == ContainerStage::kStarting) {
    // The request never reached the monitor: it can be started still.
    (void)container.Change([](ContainerRecord& changed) { changed.stage = ContainerStage::kCreated; });
    container.Show();
    return;
  }
  EndLostContainer(core, container);
}

// The monitor lives and says nothing: its containers are as they were, and it is asked again later.
void LeaveAlone(Core& core, Container& container) {
  const ContainerStage stage = container.record().stage;
  if (stage == ContainerStage::kCreating || stage == ContainerStage::kRemoving)
    return Discard(core, container);
  if (stage == ContainerStage::kRunning || stage == ContainerStage::kStarting) (void)container.ReadEnd();
  container.Show();
}

void RecoverPod(Core& core, const std::shared_ptr<Pod>& pod) {
  const PodRecord record = pod->record();
  const bool rebooted = record.boot_id != base::BootId();
  if (record.stage == PodStage::kCreating || record.stage == PodStage::kRemoving) {
    // Half made, or half gone: nobody has its id, or everybody is done with it.
    DiscardPod(core, *pod);
    return;
  }
  if (rebooted) {
    for (const auto& container : pod->containers()) AfterReboot(core, *container);
    if (record.stage == PodStage::kReady) {
      (void)pod->Change([](PodRecord& changed) {
        changed.stage = PodStage::kStopping;
        changed.status.state = PodState::kNotReady;
        changed.status.message = "node rebooted";
      });
    }
    pod->Show();
    // Addresses go back now, not when kubelet gets around to it; and nobody waits for it: a plugin may need a
    // pod that cannot be run before we serve.
    core.executor.Submit([&core, pod] {
      if (auto stopped = StopPod(core, *pod); !stopped.ok())
        base::LogWarning("could not clean up a pod after the reboot",
                         {{"pod", pod->id()}, {"error", stopped}});
    });
    return;
  }
  std::optional<monitor::Listed> listed;
  if (record.stage == PodStage::kReady || base::OpenProcess(record.monitor).ok()) {
    const base::Deadline deadline = base::Deadline::After(kPodBudgetNs);
    absl::Status reached = pod->ConnectMonitor(deadline);
    if (reached.ok()) {
      const auto monitor = pod->ConnectedMonitor();
      auto answer = monitor != nullptr
                        ? monitor->List(deadline)
                        : absl::StatusOr<monitor::Listed>(absl::UnavailableError("it hung up"));
      if (answer.ok())
        listed = std::move(*answer);
      else
        reached = answer.status();
    }
    if (!reached.ok())
      base::LogError("a pod's monitor does not answer", {{"pod", pod->id()}, {"error", reached}});
  }
  const bool silent = !listed && record.stage != PodStage::kStopped && FindMonitor(core, *pod).has_value();
  if (silent) pod->AskAgain(base::kSecondNs);
  for (const auto& container : pod->containers()) {
    if (silent)
      LeaveAlone(core, *container);
    else
      Reconcile(core, *container, listed ? &*listed : nullptr);
    if (core.FindContainer(container->id()) != nullptr) FollowStart(core, container);
  }
  if (record.holder && record.stage == PodStage::kReady && !base::OpenProcess(*record.holder).ok()) {
    (void)pod->Change([](PodRecord& changed) {
      changed.status.state = PodState::kNotReady;
      changed.status.message = "the process that held the pod's PID namespace is gone";
    });
  }
  UpdatePodLimits(*pod);
  pod->Show();
}

}  // namespace

void FollowStart(Core& core, const std::shared_ptr<Container>& container) {
  if (container->record().stage != ContainerStage::kStarting) return;
  core.timers.After(base::kSecondNs, [&core, container] {
    core.executor.Submit([&core, container] {
      if (core.FindContainer(container->id()) == nullptr || container->ReadEnd()) return;
      // Connected only: a new monitor would know nothing of a start that the old one was asked for.
      const auto monitor = container->pod()->ConnectedMonitor();
      if (monitor != nullptr) {
        const auto listed = monitor->List(base::Deadline::After(kPodBudgetNs));
        if (listed.ok()) Reconcile(core, *container, &*listed);
      }
      FollowStart(core, container);
    });
  });
}

absl::Status Recover(Core& core) {
  BERTH_ASSIGN_OR_RETURN(const auto pod_rows, core.options.store->Pods());
  BERTH_ASSIGN_OR_RETURN(const auto container_rows, core.options.store->Containers());
  for (const auto& row : pod_rows) {
    auto record = DecodePod(row.record);
    if (!record.ok()) {
      // One bad record is one bad pod: named, left in place for `berth fsck`, and no reason not to start.
      base::LogError("unreadable pod record", {{"pod", row.id}, {"error", record.status()}});
      continue;
    }
    core.Add(std::make_shared<Pod>(core, std::move(*record)));
  }
  for (const auto& row : container_rows) {
    auto record = DecodeContainer(row.record);
    const auto pod = core.FindPod(row.pod_id);
    if (!record.ok() || pod == nullptr) {
      base::LogError("unreadable container record, or its pod's",
                     {{"container", row.id}, {"pod", row.pod_id}, {"error", record.status()}});
      continue;
    }
    const auto container = std::make_shared<Container>(core, pod, std::move(*record));
    pod->Add(container);
    core.Add(container);
  }
  const auto pods = core.Pods();
  std::mutex mutex;
  std::size_t next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kParallel && static_cast<std::size_t>(i) < pods.size(); ++i) {
    threads.emplace_back([&] {
      for (;;) {
        std::shared_ptr<Pod> pod;
        {
          const std::lock_guard lock(mutex);
          if (next == pods.size()) return;
          pod = pods[next++];
        }
        RecoverPod(core, pod);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  // Before anything is served: an attachment that is being made now would look like garbage.
  if (core.options.store->quarantined().empty()) CollectNetworkGarbage(core);
  core.executor.Submit([&core] { RetryOrphanedNetworks(core, kFirstGapNs); });
  if (!pods.empty())
    base::LogInfo("recovered", {{"pods", static_cast<std::uint64_t>(pods.size())},
                                {"containers", static_cast<std::uint64_t>(container_rows.size())}});
  return absl::OkStatus();
}

}  // namespace berth::runtime
