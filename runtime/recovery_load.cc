// SPDX-License-Identifier: Apache-2.0
// After a start of berthd, first half: what the disk says. Files win over the database.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/parallel.h"

namespace berth::runtime {
namespace {

constexpr std::size_t kWriters = 16;  // exit records at a reboot: their fsyncs go together

// What can still be told of a pod whose record is not readable: its row's keys. NOTREADY, so that it is
// stopped and removed; everything of it on the host is found by its id.
PodRecord PodStub(const store::PodRow& row, const absl::Status& why) {
  PodRecord record;
  record.status.id = row.id;
  record.status.created_at = row.created_at;
  record.status.message = absl::StrCat("its record cannot be read: ", why.message());
  const std::vector<std::string> key = absl::StrSplit(row.name_key, '/');
  if (key.size() == 4) {
    record.status.config.metadata = {key[1], key[2], key[0], 0};
    (void)absl::SimpleAtoi(key[3], &record.status.config.metadata.attempt);
  }
  // Whether it has a holder, an attachment or pins is looked for, not known.
  record.status.config.namespaces.pid = NamespaceMode::kPod;
  record.stage = PodStage::kStopping;
  record.boot_id = base::BootId();
  record.stub = true;
  return record;
}

// The same for a container. It counts as ended; recovery ends what may still run of it.
ContainerRecord ContainerStub(const Core& core, const store::ContainerRow& row, const Pod& pod,
                              const absl::Status& why) {
  ContainerRecord record;
  ContainerStatus& status = record.status;
  status.id = row.id;
  status.pod_id = row.pod_id;
  status.created_at = row.created_at;
  const std::vector<std::string> key = absl::StrSplit(row.name_key, '/');
  if (key.size() == 3) {
    status.config.metadata.name = key[1];
    (void)absl::SimpleAtoi(key[2], &status.config.metadata.attempt);
  }
  const std::string parent = pod.record().status.cgroup;
  if (!parent.empty()) status.cgroup = absl::StrCat(parent == "/" ? "" : parent, "/", row.id);
  status.log_path = ContainerPlaces(core.options, row.pod_id, row.id).record_dir + "/container.log";
  status.started_at = row.created_at;
  status.state = ContainerState::kExited;
  const std::string sentence = absl::StrCat("its record cannot be read: ", why.message());
  const ContainerPlaces places(core.options, row.pod_id, row.id);
  if (const auto end = monitor::ReadExitRecord(places.record_dir, places.state); end.ok()) {
    status.started_at = std::max(end->started_at, row.created_at);
    status.exit = ContainerExit{end->exit_code, end->reason,
                                absl::StrCat(end->message, end->message.empty() ? "" : "; ", sentence),
                                end->finished_at};
  } else {
    status.exit = ContainerExit{137, "Error", sentence, base::RealtimeNs()};
  }
  record.stage = ContainerStage::kExited;
  record.boot_id = base::BootId();
  record.stub = true;
  return record;
}

void AfterReboot(Container& container) {
  const ContainerStage stage = container.record().stage;
  if (stage == ContainerStage::kExited) return;
  // Also of one that was only created: after a power loss the database may not know that it was started.
  if (container.ReadEnd()) return;
  if (stage != ContainerStage::kRunning && stage != ContainerStage::kStarting) return;
  Container::LostEnd lost;
  lost.message = "node rebooted";
  lost.finished_at = base::RealtimeNs() - base::BoottimeNs();  // it did not live to see this boot
  container.EndWithoutMonitor(lost);
}

void LoadPod(Pod& pod) {
  const PodRecord record = pod.record();
  const bool rebooted = record.boot_id != base::BootId();
  for (const auto& container : pod.containers()) {
    const ContainerStage stage = container->record().stage;
    if (stage == ContainerStage::kCreating || stage == ContainerStage::kRemoving) continue;
    if (rebooted) {
      AfterReboot(*container);
    } else if (stage == ContainerStage::kRunning || stage == ContainerStage::kStarting) {
      (void)container->ReadEnd();  // it may have ended while no berthd was there
    }
  }
  if (record.stage == PodStage::kCreating || record.stage == PodStage::kRemoving) return;  // nobody sees it
  if (rebooted && record.stage == PodStage::kReady) {
    pod.Intend([](PodRecord& changed) {
      changed.stage = PodStage::kStopping;
      changed.status.state = PodState::kNotReady;
      changed.status.message = "node rebooted";
    });
  }
  for (const auto& container : pod.containers()) {
    const ContainerRecord now = container->record();
    // What still runs of one without a readable record is ended first.
    if (now.stage != ContainerStage::kCreating && now.stage != ContainerStage::kRemoving && !now.stub)
      container->Show();
  }
  pod.Show();
}

// Its files go before its row: a record without any is one whose removal was nearly done.
void NoteHalfRemoved(Pod& pod) {
  if (pod.record().stage != PodStage::kCreating && !base::Exists(pod.places().root)) {
    base::LogWarning("a pod's record outlived its files; its removal is finished", {{"pod", pod.id()}});
    pod.Intend([](PodRecord& record) { record.stage = PodStage::kRemoving; });
  }
  for (const auto& container : pod.containers()) {
    if (container->record().stage == ContainerStage::kCreating ||
        base::Exists(container->places().record_dir))
      continue;
    base::LogWarning("a container's record outlived its files; its removal is finished",
                     {{"container", container->id()}});
    container->Intend([](ContainerRecord& record) { record.stage = ContainerStage::kRemoving; });
  }
}

}  // namespace

absl::Status LoadRecords(Core& core) {
  BERTH_ASSIGN_OR_RETURN(const auto pod_rows, core.options.store->Pods());
  BERTH_ASSIGN_OR_RETURN(const auto container_rows, core.options.store->Containers());
  for (const auto& row : pod_rows) {
    auto record = DecodePod(row.record);
    // One bad record is one bad pod: named, shown as what it is, and no reason not to start.
    if (!record.ok()) base::LogError("unreadable pod record", {{"pod", row.id}, {"error", record.status()}});
    core.Add(std::make_shared<Pod>(core, record.ok() ? std::move(*record) : PodStub(row, record.status())));
  }
  for (const auto& row : container_rows) {
    auto record = DecodeContainer(row.record);
    const auto pod = core.FindPod(row.pod_id);
    if (pod == nullptr) {  // the database forbids it
      base::LogError("a container's record without its pod's", {{"container", row.id}, {"pod", row.pod_id}});
      continue;
    }
    if (!record.ok())
      base::LogError("unreadable container record", {{"container", row.id}, {"error", record.status()}});
    const auto container = std::make_shared<Container>(
        core, pod, record.ok() ? std::move(*record) : ContainerStub(core, row, *pod, record.status()));
    pod->Add(container);
    core.Add(container);
    // A pod's cgroup is known from its containers' when its own record is not.
    const std::string cgroup = container->record().status.cgroup;
    if (const auto slash = cgroup.rfind('/'); pod->record().stub && slash != std::string::npos && slash > 0)
      pod->Intend([&](PodRecord& changed) { changed.status.cgroup = cgroup.substr(0, slash); });
  }
  std::vector<std::vector<std::shared_ptr<Pod>>> shares(kWriters);
  std::size_t next = 0;
  for (const auto& pod : core.Pods()) shares[next++ % kWriters].push_back(pod);
  std::erase_if(shares, [](const auto& share) { return share.empty(); });
  ForEachAtOnce(shares, [](const std::vector<std::shared_ptr<Pod>>& share) {
    for (const auto& pod : share) {
      NoteHalfRemoved(*pod);
      LoadPod(*pod);
    }
  });
  return absl::OkStatus();
}

}  // namespace berth::runtime
