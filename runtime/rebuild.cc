// SPDX-License-Identifier: Apache-2.0
#include "runtime/rebuild.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "monitor/exit_record.h"
#include "runtime/core.h"

namespace berth::runtime {
namespace {

constexpr std::size_t kRecordCap = 16 << 20;
constexpr char kRebuilt[] = "its record was made anew after the database was lost";

void Write(const std::string& path, const std::string& text) {
  if (auto written = base::WriteFile(path, text); !written.ok())
    base::LogWarning("a record is not kept beside the database",
                     {{"path", path}, {"error", written.error().Message()}});
}

Options Places(const RebuildOptions& options) {
  Options places;
  places.root = options.root;
  places.state = options.state;
  return places;
}

absl::StatusOr<std::string> Read(const std::string& path) {
  return base::ToStatusOr(base::ReadFile(path, kRecordCap));
}

// What the file cannot know: it was written last when the pod became ready.
void BringUpToDate(const PodPlaces& places, PodRecord* record) {
  if (record->stage != PodStage::kReady || record->boot_id != base::BootId()) return;
  const auto& namespaces = record->status.config.namespaces;
  const bool pinned = (!namespaces.user_namespace || base::Exists(places.pins + "/user")) &&
                      (namespaces.network != NamespaceMode::kPod || base::Exists(places.pins + "/net")) &&
                      (namespaces.ipc != NamespaceMode::kPod || base::Exists(places.pins + "/ipc"));
  if (pinned) return;
  record->stage = PodStage::kStopping;
  record->status.state = PodState::kNotReady;
  record->status.message = kRebuilt;
}

void BringUpToDate(ContainerRecord* record) {
  // Whether it was started, runs or has ended, its exit record or its monitor tells: recovery asks both.
  if (record->stage == ContainerStage::kCreated) record->stage = ContainerStage::kStarting;
}

class Rebuild {
 public:
  explicit Rebuild(const RebuildOptions& options) : options_(options), places_(Places(options)) {}

  absl::Status Run() {
    BERTH_RETURN_IF_ERROR(MoveUnreadableAside());
    BERTH_RETURN_IF_ERROR(TakeNewer());
    BERTH_RETURN_IF_ERROR(FindLost());
    for (const auto& id : lost_pods_) {
      if (!HalfMade(id, PodPlaces(places_, id).root, "/pod.json")) {
        Restore("pod", id, RestorePod(id));
      } else {
        BERTH_RETURN_IF_ERROR(UndoPod(id));
      }
    }
    for (const auto& [id, pod_id] : lost_containers_) {
      if (without_.contains(pod_id)) continue;
      if (!HalfMade(pod_id, ContainerPlaces(places_, pod_id, id).record_dir, "/container.json")) {
        Restore("container", id, RestoreContainer(pod_id, id));
      } else {
        BERTH_RETURN_IF_ERROR(UndoContainer(pod_id, id));
      }
    }
    if (undone_ > 0)
      base::LogWarning("what was being made when the power went is undone", {{"count", undone_}});
    if (restored_ > 0 || unknown_ > 0)
      base::LogWarning("records made anew from what is on disk",
                       {{"restored", restored_}, {"without a readable file", unknown_}});
    return absl::OkStatus();
  }

 private:
  static absl::StatusOr<std::vector<std::string>> Names(const std::string& directory) {
    auto names = base::ListDir(directory);
    if (!names.ok() && base::IsGone(names.error().err)) return std::vector<std::string>();
    if (!names.ok()) return base::ToStatus(names.error());
    std::erase_if(*names, [](const std::string& name) { return !base::IsHexId(name); });
    return *std::move(names);
  }

  // After a power loss the database may lack its last moments, and so say of a pod that it was being made
  // whose container has told its end. An end is synced before it is told, and with it (ext4's auto_da_alloc)
  // the file that was renamed over an older one before: the one that says that pod or container was made.
  absl::Status TakeNewer() {
    BERTH_ASSIGN_OR_RETURN(const auto pods, options_.store->Pods());
    BERTH_ASSIGN_OR_RETURN(const auto containers, options_.store->Containers());
    std::map<std::string, std::string> newer_pods, newer_containers;
    for (const auto& row : pods) {
      const auto record = DecodePod(row.record);
      if (!record.ok() || record->stage != PodStage::kCreating || record->boot_id == base::BootId()) continue;
      if (const auto file = ReadPod(row.id); file.ok() && file->stage == PodStage::kReady)
        newer_pods[row.id] = Encode(*file);
    }
    for (const auto& row : containers) {
      const auto record = DecodeContainer(row.record);
      if (!record.ok() || record->stage != ContainerStage::kCreating || record->boot_id == base::BootId())
        continue;
      if (const auto file = ReadContainer(row.pod_id, row.id);
          file.ok() && file->stage == ContainerStage::kStarting)
        newer_containers[row.id] = Encode(*file);
    }
    if (newer_pods.empty() && newer_containers.empty()) return absl::OkStatus();
    base::LogWarning("records on disk are newer than the database",
                     {{"pods", newer_pods.size()}, {"containers", newer_containers.size()}});
    BERTH_FAULT_POINT("runtime.record_take_newer");
    return options_.store->Write([&](store::Transaction& transaction) -> absl::Status {
      for (const auto& [id, record] : newer_pods) BERTH_RETURN_IF_ERROR(transaction.UpdatePod(id, record));
      for (const auto& [id, record] : newer_containers)
        BERTH_RETURN_IF_ERROR(transaction.UpdateContainer(id, record));
      return absl::OkStatus();
    });
  }

  absl::Status FindLost() {
    BERTH_ASSIGN_OR_RETURN(const auto pods, options_.store->Pods());
    BERTH_ASSIGN_OR_RETURN(const auto containers, options_.store->Containers());
    std::set<std::string> known;
    for (const auto& row : pods) known.insert(row.id);
    for (const auto& row : containers) known.insert(row.id);
    BERTH_ASSIGN_OR_RETURN(const auto names, Names(options_.root + "/pods"));
    for (const auto& pod : names) {
      if (!known.contains(pod)) lost_pods_.insert(pod);
      BERTH_ASSIGN_OR_RETURN(const auto inside, Names(PodPlaces(places_, pod).root + "/containers"));
      for (const auto& container : inside) {
        if (!known.contains(container)) lost_containers_[container] = pod;
      }
    }
    return absl::OkStatus();
  }

  // Of what was made in its last moments a power loss takes the row, and leaves the file without content or
  // name (ext4 allocates late). Nothing of that pod is of this boot then, and an end that was told would have
  // taken the file along to the disk.
  bool HalfMade(const std::string& pod_id, const std::string& directory, const char* file) const {
    if (base::Exists(PodPlaces(places_, pod_id).state) ||
        base::Exists(directory + "/" + monitor::kExitRecordName)) {
      return false;
    }
    const auto text = base::ReadFile(directory + file, kRecordCap);
    return text.ok() ? text->find_first_not_of('\0') == std::string::npos : base::IsGone(text.error().err);
  }

  // Recovery undoes what is being made, and finds all of it by its id.
  absl::Status UndoPod(const std::string& id) {
    PodRecord record;
    record.status.id = record.status.config.metadata.name = id;
    record.status.created_at = base::RealtimeNs();
    ++undone_;
    BERTH_FAULT_POINT("runtime.pod_undo");
    return options_.store->Write([&](store::Transaction& transaction) {
      return transaction.InsertPod(
          {id, PodNameKey(record.status.config.metadata), record.status.created_at, Encode(record)});
    });
  }
  absl::Status UndoContainer(const std::string& pod_id, const std::string& id) {
    ContainerRecord record;
    record.status.id = record.status.config.metadata.name = id;
    record.status.pod_id = pod_id;
    record.status.created_at = base::RealtimeNs();
    ++undone_;
    BERTH_FAULT_POINT("runtime.container_undo");
    return options_.store->Write([&](store::Transaction& transaction) {
      return transaction.InsertContainer({id, pod_id, ContainerNameKey(pod_id, record.status.config.metadata),
                                          record.status.created_at, Encode(record)});
    });
  }

  // One that cannot be restored is no reason not to start.
  void Restore(const char* kind, const std::string& id, const absl::Status& restored) {
    if (restored.ok()) {
      ++restored_;
      return;
    }
    ++unknown_;
    without_.insert(id);
    base::LogError("no record can be made of what is on disk; `berth fsck` names what is left of it",
                   {{"kind", kind}, {"id", id}, {"why", restored}});
  }

  absl::Status MoveAside(const std::string& kind, const std::string& id, const std::string& text,
                         const absl::Status& why) {
    const std::string directory = options_.root + "/quarantine";
    const std::string path =
        absl::StrCat(directory, "/", kind, "-", id, "-", base::RealtimeNs() / base::kSecondNs, ".json");
    base::LogError("a record cannot be read and is moved aside",
                   {{"kind", kind}, {"id", id}, {"to", path}, {"why", why}});
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(directory)));
    BERTH_FAULT_POINT("runtime.record_quarantine");
    return base::ToStatus(base::WriteFileDurable(path, text));
  }

  absl::Status MoveUnreadableAside() {
    BERTH_ASSIGN_OR_RETURN(const auto pods, options_.store->Pods());
    BERTH_ASSIGN_OR_RETURN(const auto containers, options_.store->Containers());
    for (const auto& row : containers) {
      const auto record = DecodeContainer(row.record);
      if (record.ok() && record->status.id == row.id) continue;
      BERTH_RETURN_IF_ERROR(MoveAside("container", row.id, row.record, record.status()));
      BERTH_RETURN_IF_ERROR(options_.store->Write(
          [&](store::Transaction& transaction) { return transaction.DeleteContainer(row.id); }));
    }
    for (const auto& row : pods) {
      const auto record = DecodePod(row.record);
      if (record.ok() && record->status.id == row.id) continue;
      BERTH_RETURN_IF_ERROR(MoveAside("pod", row.id, row.record, record.status()));
      // In place: its containers' records may be sound, and each needs its pod's row.
      const auto file = ReadPod(row.id);
      Restore("pod", row.id, file.status());
      absl::Status replaced = options_.store->Write([&](store::Transaction& transaction) -> absl::Status {
        if (file.ok()) return transaction.UpdatePod(row.id, Encode(*file));
        for (const auto& container : containers) {
          if (container.pod_id == row.id) BERTH_RETURN_IF_ERROR(transaction.DeleteContainer(container.id));
        }
        return transaction.DeletePod(row.id);
      });
      if (!replaced.ok()) return replaced;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<PodRecord> ReadPod(const std::string& id) const {
    const PodPlaces places(places_, id);
    BERTH_ASSIGN_OR_RETURN(const std::string text, Read(places.root + "/pod.json"));
    BERTH_ASSIGN_OR_RETURN(PodRecord record, DecodePod(text));
    if (record.status.id != id) return absl::DataLossError("the file is another pod's");
    BringUpToDate(places, &record);
    return record;
  }

  absl::Status RestorePod(const std::string& id) {
    BERTH_ASSIGN_OR_RETURN(const PodRecord record, ReadPod(id));
    const auto attachment = Read(PodPlaces(places_, id).root + "/network.json");
    const bool attached = attachment.ok() && network::AttachmentFromJson(*attachment).ok();
    BERTH_FAULT_POINT("runtime.pod_restore");
    return options_.store->Write(
        [&](store::Transaction& transaction) -> absl::Status {
          BERTH_RETURN_IF_ERROR(transaction.InsertPod(
              {id, PodNameKey(record.status.config.metadata), record.status.created_at, Encode(record)}));
          return attached ? transaction.PutNetwork({id, *attachment}) : absl::OkStatus();
        },
        store::Durability::kFull);
  }

  absl::StatusOr<ContainerRecord> ReadContainer(const std::string& pod_id, const std::string& id) const {
    BERTH_ASSIGN_OR_RETURN(const std::string text,
                           Read(ContainerPlaces(places_, pod_id, id).record_dir + "/container.json"));
    BERTH_ASSIGN_OR_RETURN(ContainerRecord record, DecodeContainer(text));
    if (record.status.id != id || record.status.pod_id != pod_id)
      return absl::DataLossError("the file is another container's");
    BringUpToDate(&record);
    return record;
  }

  absl::Status RestoreContainer(const std::string& pod_id, const std::string& id) {
    BERTH_ASSIGN_OR_RETURN(const ContainerRecord record, ReadContainer(pod_id, id));
    BERTH_FAULT_POINT("runtime.container_restore");
    return options_.store->Write([&](store::Transaction& transaction) {
      return transaction.InsertContainer({id, pod_id, ContainerNameKey(pod_id, record.status.config.metadata),
                                          record.status.created_at, Encode(record)});
    });
  }

  const RebuildOptions& options_;
  const Options places_;
  std::set<std::string> lost_pods_, without_;
  std::map<std::string, std::string> lost_containers_;  // id → pod
  std::int64_t restored_ = 0, unknown_ = 0, undone_ = 0;
};

}  // namespace

void Describe(const Options& options, const PodRecord& record) {
  BERTH_FAULT_POINT("runtime.pod_describe");
  Write(PodPlaces(options, record.status.id).root + "/pod.json", Encode(record));
}

void Describe(const Options& options, const ContainerRecord& record) {
  BERTH_FAULT_POINT("runtime.container_describe");
  Write(ContainerPlaces(options, record.status.pod_id, record.status.id).record_dir + "/container.json",
        Encode(record));
}

void DescribeNetwork(const Options& options, const std::string& pod_id, const std::string& attachment) {
  BERTH_FAULT_POINT("runtime.network_describe");
  Write(PodPlaces(options, pod_id).root + "/network.json", attachment);
}

absl::Status RebuildRecords(const RebuildOptions& options) { return Rebuild(options).Run(); }

}  // namespace berth::runtime
