// SPDX-License-Identifier: Apache-2.0
// After a start of berthd, second half: exit files, monitors, processes and pins say what is. In the
// background, many pods at once; whoever asks something of a pod meanwhile waits for it (AwaitRecovery).
#include <sys/vfs.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pod_cgroup.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kMonitorNs = 10 * base::kSecondNs;
// A pod that needs longer does not keep the others waiting: its turn goes to the next.
constexpr std::int64_t kTurnNs = 10 * base::kSecondNs;
constexpr std::int64_t kFirstGapNs = base::kSecondNs;
constexpr int kParallel = 16;
constexpr long kNsfsMagic = 0x6e736673;  // linux/magic.h
constexpr char kCollection[] = "network GC";

std::string Key(const std::string& pod_id) { return "recover/" + pod_id; }

void Discard(Core& core, const std::shared_ptr<Container>& container) {
  const auto discarded = DiscardContainer(core, *container);
  if (discarded.ok()) return;
  base::LogError("could not finish the removal of a container; it is shown until it is removed",
                 {{"container", container->id()}, {"error", discarded}});
  container->Intend([](ContainerRecord& record) {
    // It never ran, or has ended: else its removal would not have begun.
    if (record.status.state == ContainerState::kExited) return;
    record.status.state = ContainerState::kExited;
    record.status.started_at = std::max(record.status.started_at, record.status.created_at);
    record.status.exit = ContainerExit{128, "StartError", "it was being removed", base::RealtimeNs()};
  });
  container->Show();
}

// Nothing may run under a record that nobody can read.
void EndStub(Core& core, Container& container, bool listed) {
  const auto monitor = container.pod()->ConnectedMonitor();
  const base::Deadline deadline = base::Deadline::After(kMonitorNs);
  if (listed && monitor != nullptr) (void)monitor->Kill({container.id(), "unreadable record", 0}, deadline);
  if (auto cgroup = core.options.cgroups->At(container.record().status.cgroup); cgroup.ok()) {
    BERTH_FAULT_POINT("runtime.stub_kill");
    if (const auto killed = (*cgroup)->KillAll(deadline); !killed.ok())
      base::LogError("could not end a container whose record is unreadable",
                     {{"container", container.id()}, {"error", killed.error().Message()}});
  }
  container.Show();
}

// What a pod's monitor knows of one of its containers.
void Reconcile(Core& core, const std::shared_ptr<Container>& container, const monitor::Listed* listed) {
  const ContainerRecord record = container->record();
  const monitor::ListedContainer* known = nullptr;
  if (listed != nullptr) {
    for (const auto& each : listed->containers) {
      if (each.id == container->id()) known = &each;
    }
  }
  if (record.stub) return EndStub(core, *container, known != nullptr);
  switch (record.stage) {
    case ContainerStage::kCreating:
    case ContainerStage::kRemoving:
      return Discard(core, container);
    case ContainerStage::kCreated:
    case ContainerStage::kExited:
      return;
    case ContainerStage::kStarting:
    case ContainerStage::kRunning:
      break;
  }
  if (container->ReadEnd()) return;
  if (listed == nullptr) return EndLostContainer(core, *container);
  if (known != nullptr && known->state == "running") {
    const base::ProcessIdentity init{known->pid, known->start_ticks, base::BootId()};
    if (record.stage != ContainerStage::kRunning || record.init != init)
      container->Began(init, known->started_at);
    return;
  }
  // Nobody waits for this start any more, but it ends by itself: as RUNNING by the next look, or with its
  // record.
  if (known != nullptr && known->state == "starting") return;
  if (container->ReadEnd()) return;  // it ended between the two looks
  if (record.stage == ContainerStage::kStarting) {
    // The request never reached the monitor: it can be started still.
    container->Intend([](ContainerRecord& changed) { changed.stage = ContainerStage::kCreated; });
    return;
  }
  EndLostContainer(core, *container);
}

// The monitor lives and says nothing: its containers are as they were, and it is asked again later.
void LeaveAlone(Core& core, const std::shared_ptr<Container>& container) {
  const ContainerRecord record = container->record();
  if (record.stub) return EndStub(core, *container, false);
  if (record.stage == ContainerStage::kCreating || record.stage == ContainerStage::kRemoving)
    return Discard(core, container);
  if (record.stage == ContainerStage::kRunning || record.stage == ContainerStage::kStarting)
    (void)container->ReadEnd();
}

// What the pod's monitor says; nullopt when it does not answer, or there is none.
std::optional<monitor::Listed> AskMonitor(Pod& pod) {
  const base::Deadline deadline = base::Deadline::After(kMonitorNs);
  absl::Status reached = pod.ConnectMonitor(deadline);
  if (reached.ok()) {
    const auto monitor = pod.ConnectedMonitor();
    auto answer = monitor != nullptr ? monitor->List(deadline)
                                     : absl::StatusOr<monitor::Listed>(absl::UnavailableError("it hung up"));
    if (answer.ok()) return std::move(*answer);
    reached = answer.status();
  }
  base::LogError("a pod's monitor does not answer", {{"pod", pod.id()}, {"error", reached}});
  return std::nullopt;
}

// The pins that a pod of this configuration has, and which of them is no namespace any more: its own mount
// went, or the whole directory.
std::optional<std::string> MissingPin(const Pod& pod) {
  const NamespaceOptions namespaces = pod.record().status.config.namespaces;
  std::vector<std::pair<const char*, bool>> pins = {
      {"net", namespaces.network == NamespaceMode::kPod},
      {"uts", namespaces.network == NamespaceMode::kPod},
      {"ipc", namespaces.ipc == NamespaceMode::kPod},
      {"pid", namespaces.pid == NamespaceMode::kPod},
  };
  for (const auto& [name, wanted] : pins) {
    if (!wanted) continue;
    const std::string path = absl::StrCat(pod.places().pins, "/", name);
    struct statfs facts {};
    const bool there = ::statfs(path.c_str(), &facts) == 0;
    if (!there && !base::IsGone(errno)) continue;  // nobody knows: then it is not called gone
    if (!there || static_cast<long>(facts.f_type) != kNsfsMagic)
      return absl::StrCat("its ", name, " namespace is gone: '", path, "' is no pin any more");
  }
  return std::nullopt;
}

void NotReady(Pod& pod, const std::string& why) {
  base::LogError("a pod is not ready any more", {{"pod", pod.id()}, {"why", why}});
  pod.Intend([&](PodRecord& changed) {
    changed.status.state = PodState::kNotReady;
    changed.status.message = why;
  });
}

// True: its stop was under way, or is necessary, and is to be finished.
bool RecoverPod(Core& core, const std::shared_ptr<Pod>& pod, Progress& progress) {
  if (core.stopping) return false;
  BERTH_FAULT_POINT("runtime.recover_pod");
  const PodRecord record = pod->record();
  const bool rebooted = record.boot_id != base::BootId();
  if (record.stage == PodStage::kCreating || record.stage == PodStage::kRemoving) {
    // Half made, or half gone: nobody has its id, or everybody is done with it.
    progress.Enter("undo");
    DiscardPod(core, *pod);
    return false;
  }
  if (rebooted) {
    // Its containers were told as ended when the records were read.
    progress.Enter("containers");
    for (const auto& container : pod->containers()) LeaveAlone(core, container);
    return record.stage != PodStage::kStopped;  // addresses go back now, not when kubelet gets around to it
  }
  progress.Enter("ask the monitor");
  std::optional<monitor::Listed> listed;
  const bool living = FindMonitor(core, *pod).has_value();
  if (record.stage == PodStage::kReady || living) listed = AskMonitor(*pod);
  const bool silent =
      !listed && record.stage != PodStage::kStopped && living && FindMonitor(core, *pod).has_value();
  if (silent) pod->AskAgain(kFirstGapNs);
  progress.Enter("containers");
  for (const auto& container : pod->containers()) {
    if (silent)
      LeaveAlone(core, container);
    else
      Reconcile(core, container, listed ? &*listed : nullptr);
    if (core.FindContainer(container->id()) != nullptr) FollowStart(core, container);
  }
  if (record.stage == PodStage::kReady && record.status.state == PodState::kReady) {
    if (record.holder && IsDead(*record.holder))
      NotReady(*pod, "the process that held the pod's PID namespace is gone");
    else if (const auto missing = MissingPin(*pod))
      NotReady(*pod, *missing);
  }
  progress.Enter("limits");
  UpdatePodLimits(*pod);
  pod->Show();
  return record.stage == PodStage::kStopping;
}

// Hands one pod after the other to the executor; as many at once as there are turns. Keeps itself alive.
class Queue : public std::enable_shared_from_this<Queue> {
 public:
  Queue(Core& core, std::vector<std::shared_ptr<Pod>> pods) : core_(core), pods_(std::move(pods)) {}

  void Start() {
    for (const auto& pod : pods_) {
      core_.operations.Announce(Key(pod->id()), absl::StrCat("recovering pod '", pod->id(), "'"),
                                [self = shared_from_this(), pod](Progress& progress) {
                                  if (RecoverPod(self->core_, pod, progress)) self->Note(pod);
                                  return absl::OkStatus();
                                });
    }
    for (int i = 0; i < kParallel; ++i) Next();
  }

 private:
  void Note(const std::shared_ptr<Pod>& pod) {
    const std::lock_guard lock(mutex_);
    to_stop_.insert(pod->id());
  }

  void Next() {
    std::shared_ptr<Pod> pod;
    {
      const std::lock_guard lock(mutex_);
      if (next_ == pods_.size()) return;
      pod = pods_[next_++];
    }
    // A turn goes on once: when the pod is done, or has had its time.
    const auto passed_on = std::make_shared<std::atomic<bool>>(false);
    const auto pass_on = [self = shared_from_this(), passed_on] {
      if (!passed_on->exchange(true)) self->Next();
    };
    core_.timers.After(kTurnNs, pass_on);
    core_.operations.Begin(Key(pod->id()), [self = shared_from_this(), pod, pass_on] {
      self->Recovered(pod);
      pass_on();
    });
  }

  // Nobody waits for recovery any more; a stop takes as long as it takes.
  void Recovered(const std::shared_ptr<Pod>& pod) {
    if (--core_.recovering == 0)
      base::LogInfo("recovered", {{"pods", static_cast<std::uint64_t>(pods_.size())}});
    bool stop = false;
    {
      const std::lock_guard lock(mutex_);
      stop = to_stop_.erase(pod->id()) > 0;
    }
    if (stop && !core_.stopping) FinishPod(core_, pod, Finish::kStop, kFirstGapNs);
  }

  Core& core_;
  const std::vector<std::shared_ptr<Pod>> pods_;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::set<std::string> to_stop_;
};

}  // namespace

void FollowStart(Core& core, const std::shared_ptr<Container>& container) {
  if (container->record().stage != ContainerStage::kStarting) return;
  core.timers.After(base::kSecondNs, [&core, container] {
    core.events.Submit([&core, container] {
      if (core.FindContainer(container->id()) == nullptr || container->ReadEnd()) return;
      // Connected only: a new monitor would know nothing of a start that the old one was asked for.
      const auto monitor = container->pod()->ConnectedMonitor();
      if (monitor != nullptr) {
        const auto listed = monitor->List(base::Deadline::After(kMonitorNs));
        if (listed.ok()) Reconcile(core, container, &*listed);
      }
      FollowStart(core, container);
    });
  });
}

void StartRecovery(Core& core) {
  const auto pods = core.Pods();
  core.recovering = static_cast<int>(pods.size());
  std::make_shared<Queue>(core, pods)->Start();
  core.operations.Announce(kCollection, "CNI's garbage collection", [&core](Progress&) {
    // Not after the database was lost: then the record of what lives is not whole.
    if (core.options.store->quarantined().empty()) CollectNetworkGarbage(core);
    RetryOrphanedNetworksLater(core, kFirstGapNs);
    return absl::OkStatus();
  });
  core.operations.Begin(kCollection, nullptr);
}

absl::Status AwaitRecovery(Core& core, const std::string& pod_id, const Caller& caller) {
  return core.recovering == 0 ? absl::OkStatus() : core.operations.Wait(Key(pod_id), caller);
}

absl::Status AwaitRecoveryOfName(Core& core, const PodMetadata& metadata, const Caller& caller) {
  if (core.recovering == 0) return absl::OkStatus();
  for (const auto& pod : core.Pods()) {
    if (PodNameKey(pod->record().status.config.metadata) == PodNameKey(metadata))
      BERTH_RETURN_IF_ERROR(AwaitRecovery(core, pod->id(), caller));
  }
  return absl::OkStatus();
}

absl::Status AwaitNetworkCollection(Core& core, const Caller& caller) {
  return core.operations.Wait(kCollection, caller);
}

}  // namespace berth::runtime
