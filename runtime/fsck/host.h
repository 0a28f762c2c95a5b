// SPDX-License-Identifier: Apache-2.0
// What of ours is on the host, and what the records say of it, as plain values.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/fsck/fsck.h"
#include "runtime/records.h"

namespace berth::runtime::fsck {

struct PodEntry {
  std::optional<PodRecord> record;  // nullopt: unreadable
  std::string why;
};
struct ContainerEntry {
  std::string pod_id;
  std::optional<ContainerRecord> record;
  std::string why;
};
struct Records {
  std::map<std::string, PodEntry> pods;
  std::map<std::string, ContainerEntry> containers;
  std::set<std::string> attachments;  // pod ids
  std::set<std::string> images, layers;
};
absl::StatusOr<Records> ReadRecords(store::Store& store);

struct HostProcess {
  base::ProcessIdentity identity;
  std::string pod_id;
};
enum class CgroupOf { kHolder, kPod, kContainer };
struct HostCgroup {
  std::string path;  // below the mount of the hierarchy
  CgroupOf of = CgroupOf::kPod;
  std::string id;         // holder: the pod's; container: its own; pod: ""
  std::string marked_by;  // pod id in its mark, or its parent's; "" = not marked
};
// A mount or a directory that lies where only one pod's or container's things lie.
struct HostPath {
  std::string path;
  std::string pod_id;        // "" where the container's id is all there is (root file systems)
  std::string container_id;  // "" for a pod's
};

struct Inventory {
  std::vector<HostProcess> monitors;
  std::vector<HostCgroup> cgroups;
  std::vector<HostPath> mounts, directories;
  std::set<std::string> layers, images;  // by digest, as they lie on disk
  std::vector<std::string> quarantined;
  // Of the records read before: what they name and is no more.
  std::set<std::string> dead_inits;       // container ids: the process has ended
  std::set<std::string> ended;            // container ids: there is an exit record
  std::set<std::string> dead_holders;     // pod ids
  std::set<std::string> missing_cgroups;  // pod ids
  std::set<std::string> copied_rootfs;    // container ids: needs no mount
};
absl::StatusOr<Inventory> TakeInventory(const Ground& ground, const Records& records);

// Pure. `before` was read before the inventory was taken, `after` when it was complete: what is on the host
// had its record before it came and loses it after it goes, so what `after` does not own is garbage or just
// went; and what both say and the inventory lacks is missing or just comes. `boot_id` is that of now.
std::vector<Finding> Judge(const Ground& ground, const Records& before, const Inventory& host,
                           const Records& after, const std::string& boot_id);

}  // namespace berth::runtime::fsck
