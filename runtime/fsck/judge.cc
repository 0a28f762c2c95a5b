// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "runtime/fsck/host.h"

namespace berth::runtime::fsck {
namespace {

class Judgement {
 public:
  Judgement(const Ground& ground, const Records& before, const Inventory& host, const Records& after,
            const std::string& boot_id)
      : ground_(ground), before_(before), host_(host), after_(after), boot_id_(boot_id) {
    for (const auto& mount : host_.mounts) mounted_.insert(mount.path);
    for (const auto& directory : host_.directories) present_.insert(directory.path);
    for (const auto& monitor : host_.monitors) monitored_.insert(monitor.pod_id);
  }

  std::vector<Finding> All() {
    Processes();
    Cgroups();
    Mounts();
    Attachments();
    Directories();
    Images();
    Pods();
    Containers();
    for (const auto& path : host_.quarantined) {
      Finding finding = Of(Kind::kQuarantine, path, "was moved aside because it could not be read",
                           "look at it, keep it or erase it: berth does not use it any more");
      finding.note = true;
      Add(finding);
    }
    return std::move(findings_);
  }

 private:
  static Finding Of(Kind kind, std::string subject, std::string found, std::string remedy,
                    Mend mend = Mend::kNone, std::string id = "") {
    Finding finding;
    finding.kind = kind;
    finding.subject = std::move(subject);
    finding.found = std::move(found);
    finding.remedy = std::move(remedy);
    finding.mend = mend;
    finding.id = std::move(id);
    return finding;
  }
  void Add(Finding finding) { findings_.push_back(std::move(finding)); }

  // The record as it was all the time of the look; nullptr when there was none, or it moved on meanwhile.
  const PodRecord* Steady(const std::string& pod_id) const {
    const auto before = before_.pods.find(pod_id), after = after_.pods.find(pod_id);
    if (before == before_.pods.end() || after == after_.pods.end()) return nullptr;
    if (!before->second.record || !after->second.record) return nullptr;
    return before->second.record->stage == after->second.record->stage ? &*after->second.record : nullptr;
  }
  const ContainerRecord* SteadyContainer(const std::string& id) const {
    const auto before = before_.containers.find(id), after = after_.containers.find(id);
    if (before == before_.containers.end() || after == after_.containers.end()) return nullptr;
    if (!before->second.record || !after->second.record) return nullptr;
    return before->second.record->stage == after->second.record->stage ? &*after->second.record : nullptr;
  }
  // Why a thing that only a living pod has should not be: "" when it should.
  std::string WhyNot(const std::string& pod_id) const {
    if (!after_.pods.contains(pod_id)) return absl::StrCat("no record of pod ", base::ShortId(pod_id));
    const PodRecord* record = Steady(pod_id);
    if (record != nullptr && record->stage == PodStage::kStopped)
      return absl::StrCat("pod ", base::ShortId(pod_id), " is stopped");
    return "";
  }
  std::string Orphaned(const std::string& container_id) const {
    return after_.containers.contains(container_id)
               ? ""
               : absl::StrCat("no record of container ", base::ShortId(container_id));
  }

  void Processes() {
    for (const auto& monitor : host_.monitors) {
      const std::string why = WhyNot(monitor.pod_id);
      if (why.empty()) continue;
      Finding finding = Of(Kind::kProcess, absl::StrCat("monitor ", monitor.identity.pid), why, "kill it",
                           Mend::kKillProcess);
      finding.process = monitor.identity;
      Add(finding);
    }
  }

  // Another runtime's containers have ids like ours: ours is what lies in a cgroup that we made, or what a
  // directory of ours is named after.
  bool IsOurs(const HostCgroup& cgroup) const {
    if (!cgroup.marked_by.empty()) return true;
    for (const auto& directory : host_.directories) {
      if (directory.container_id == cgroup.id) return true;
    }
    return false;
  }

  void Cgroups() {
    std::set<std::string> pod_cgroups;
    for (const auto* records : {&before_, &after_}) {
      for (const auto& [id, entry] : records->pods) {
        if (entry.record) pod_cgroups.insert(entry.record->status.cgroup);
      }
    }
    for (const auto& cgroup : host_.cgroups) {
      std::string why;
      switch (cgroup.of) {
        case CgroupOf::kHolder:
          why = WhyNot(cgroup.id);
          break;
        case CgroupOf::kContainer:
          if (IsOurs(cgroup)) why = Orphaned(cgroup.id);
          break;
        case CgroupOf::kPod:
          // While its pod's record cannot be read nobody knows which cgroup it names.
          if (!cgroup.marked_by.empty() && !pod_cgroups.contains(cgroup.path) &&
              !after_.pods.contains(cgroup.marked_by)) {
            why = absl::StrCat("made for pod ", base::ShortId(cgroup.marked_by), ", and no record names it");
          }
          break;
      }
      if (!why.empty())
        Add(Of(Kind::kCgroup, cgroup.path, why, "kill what is in it and remove it", Mend::kRemoveCgroup));
    }
  }

  void Mounts() {
    for (const auto& mount : host_.mounts) {
      // In a pod's directory a container's mounts are those that bring its volumes to its start.
      std::string why = mount.pod_id.empty() ? "" : WhyNot(mount.pod_id);
      if (why.empty() && !mount.container_id.empty()) why = Orphaned(mount.container_id);
      if (!why.empty()) Add(Of(Kind::kMount, mount.path, why, "unmount it", Mend::kUnmount));
    }
  }

  void Attachments() {
    for (const auto& pod_id : after_.attachments) {
      if (!before_.attachments.contains(pod_id)) continue;
      const std::string why = WhyNot(pod_id);
      if (why.empty()) continue;
      Add(Of(Kind::kAttachment, "pod " + pod_id, why + ", and its addresses have not been given back",
             ground_.hands.detach_network ? "ask the CNI plugins for DEL again"
                                          : "berthd asks the CNI plugins for DEL again once it runs",
             ground_.hands.detach_network ? Mend::kDetachNetwork : Mend::kNone, pod_id));
    }
  }

  void Directories() {
    for (const auto& directory : host_.directories) {
      std::string why;
      if (!directory.container_id.empty())
        why = Orphaned(directory.container_id);
      else if (!after_.pods.contains(directory.pod_id))
        why = absl::StrCat("no record of pod ", base::ShortId(directory.pod_id));
      // A directory of a container goes with its pod's.
      if (why.empty() || (!directory.pod_id.empty() && !directory.container_id.empty() &&
                          !after_.pods.contains(directory.pod_id))) {
        continue;
      }
      Add(Of(Kind::kDirectory, directory.path, why, "remove it", Mend::kRemoveTree));
    }
  }

  void Images() {
    const auto compare = [&](Kind kind, const std::set<std::string>& host, const std::set<std::string>& then,
                             const std::set<std::string>& now) {
      for (const auto& digest : host) {
        if (!now.contains(digest))
          Add(Of(kind, digest, "is on disk and not in the database",
                 "restart berthd: it reads what is on disk"));
      }
      for (const auto& digest : now) {
        if (!host.contains(digest) && then.contains(digest))
          Add(Of(kind, digest, "is in the database and not on disk",
                 "restart berthd, then pull the images that need it again"));
      }
    };
    compare(Kind::kLayer, host_.layers, before_.layers, after_.layers);
    compare(Kind::kImage, host_.images, before_.images, after_.images);
  }

  void Pods() {
    for (const auto& [id, entry] : after_.pods) {
      if (!entry.record) {
        Add(Of(Kind::kRecord, "pod " + id, "its record cannot be read: " + entry.why,
               "restart berthd: it moves the record aside and makes a new one from what is on disk"));
        continue;
      }
      const PodRecord* record = Steady(id);
      if (record == nullptr || record->stage != PodStage::kReady || record->boot_id != boot_id_ ||
          record->status.state != PodState::kReady) {
        continue;
      }
      if (const std::string lack = Lack(id, *record); !lack.empty()) {
        Add(Of(Kind::kRecord, "pod " + id, "is ready on record, but " + lack,
               ground_.hands.stop_pod ? "stop it, so that kubelet makes a new one"
                                      : "berthd looks when it starts",
               ground_.hands.stop_pod ? Mend::kStopPod : Mend::kNone, id));
      }
    }
  }

  std::string Lack(const std::string& id, const PodRecord& record) const {
    const std::string state = absl::StrCat(ground_.state, "/pods/", id);
    if (!present_.contains(state)) return absl::StrCat("'", state, "' is gone");
    const auto& namespaces = record.status.config.namespaces;
    std::vector<std::string> needed;
    if (namespaces.user_namespace) needed.push_back("/ns/user");
    if (namespaces.network == NamespaceMode::kPod) {
      needed.push_back("/ns/net");
      needed.push_back("/ns/uts");
    }
    if (namespaces.ipc == NamespaceMode::kPod) {
      needed.push_back("/ns/ipc");
      needed.push_back("/shm");
    }
    if (namespaces.pid == NamespaceMode::kPod) needed.push_back("/ns/pid");
    for (const auto& place : needed) {
      if (!mounted_.contains(state + place))
        return absl::StrCat("nothing is mounted on '", state, place, "'");
    }
    if (host_.dead_holders.contains(id)) return "the process that holds its PID namespace is gone";
    if (record.status.cgroup_is_ours && host_.missing_cgroups.contains(id))
      return absl::StrCat("its cgroup '", record.status.cgroup, "' is gone");
    return "";
  }

  void Containers() {
    for (const auto& [id, entry] : after_.containers) {
      if (!entry.record) {
        Add(Of(Kind::kRecord, "container " + id, "its record cannot be read: " + entry.why,
               "restart berthd: it moves the record aside and makes a new one from what is on disk"));
        continue;
      }
      const ContainerRecord* record = SteadyContainer(id);
      if (record == nullptr || record->boot_id != boot_id_) continue;
      if (record->stage == ContainerStage::kRunning && host_.dead_inits.contains(id) &&
          !host_.ended.contains(id) && !monitored_.contains(entry.pod_id)) {
        Add(Of(
            Kind::kRecord, "container " + id,
            absl::StrCat("runs on record, but its process ", record->init.pid, " and its monitor are gone"),
            ground_.hands.stop_container ? "record its end" : "berthd records its end when it starts",
            ground_.hands.stop_container ? Mend::kStopContainer : Mend::kNone, id));
        continue;
      }
      if (record->stage != ContainerStage::kCreated && record->stage != ContainerStage::kRunning) continue;
      const std::string rootfs = absl::StrCat(ground_.root, "/containers/", id);
      std::string lack;
      if (!present_.contains(rootfs))
        lack = absl::StrCat("its root file system '", rootfs, "' is gone");
      else if (!mounted_.contains(rootfs + "/rootfs") && !host_.copied_rootfs.contains(id))
        lack = absl::StrCat("its root file system '", rootfs, "/rootfs' is not mounted");
      if (lack.empty()) continue;
      const bool created = record->stage == ContainerStage::kCreated;
      Add(Of(Kind::kRecord, "container " + id,
             absl::StrCat(created ? "is created on record, but " : "runs on record, but ", lack),
             !created                         ? "stop it: what it runs on was taken away"
             : ground_.hands.remove_container ? "remove it, so that kubelet makes a new one"
                                              : "remove it once berthd runs",
             created && ground_.hands.remove_container ? Mend::kRemoveContainer : Mend::kNone, id));
    }
  }

  const Ground& ground_;
  const Records& before_;
  const Inventory& host_;
  const Records& after_;
  const std::string& boot_id_;
  std::set<std::string> mounted_, present_, monitored_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> Judge(const Ground& ground, const Records& before, const Inventory& host,
                           const Records& after, const std::string& boot_id) {
  return Judgement(ground, before, host, after, boot_id).All();
}

}  // namespace berth::runtime::fsck
