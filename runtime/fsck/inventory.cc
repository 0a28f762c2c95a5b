// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/status.h"
#include "monitor/exit_record.h"
#include "runtime/core.h"
#include "runtime/fsck/host.h"
#include "runtime/fsck/marker.h"
#include "runtime/monitors.h"

namespace berth::runtime::fsck {
namespace {

constexpr std::size_t kIdDigits = 64;
constexpr std::size_t kTableCap = 64 << 20;

bool IsId(absl::string_view text) { return text.size() == kIdDigits && base::IsHexId(std::string(text)); }

// Of a root file system: a container's id, or a longer name that begins with it (ImageVolumeId).
std::string OwnerOf(const std::string& rootfs) {
  return base::IsHexId(rootfs) && rootfs.size() >= kIdDigits ? rootfs.substr(0, kIdDigits) : "";
}

// Names in a directory; none when there is no such directory. What cannot be listed otherwise is an error:
// half a look would report the other half as missing.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& path) {
  auto names = base::ListDir(path);
  if (names) return *std::move(names);
  if (base::IsGone(names.error().err) || names.error().err == ENOTDIR) return std::vector<std::string>();
  return base::ToStatus(names.error());
}

// mountinfo writes blanks, tabs, newlines and backslashes as \ooo.
std::string Unescaped(absl::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain.push_back(
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

absl::Status FindMounts(const Ground& ground, Inventory* host) {
  BERTH_ASSIGN_OR_RETURN(const std::string table,
                         base::ToStatusOr(base::ReadFile("/proc/self/mountinfo", kTableCap)));
  const std::string pods = ground.state + "/pods/", containers = ground.root + "/containers/";
  std::set<std::string> seen;
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 5) continue;
    const std::string path = Unescaped(fields[4]);
    const bool of_pod = absl::StartsWith(path, pods);
    if (!of_pod && !absl::StartsWith(path, containers)) continue;
    const std::string id = path.substr(of_pod ? pods.size() : containers.size(), kIdDigits);
    if (!IsId(id) || !seen.insert(path).second) continue;
    if (!of_pod) {
      host->mounts.push_back({path, "", id});
      continue;
    }
    const std::string inside = absl::StrCat(pods, id, "/containers/");
    const std::string container = absl::StartsWith(path, inside) ? path.substr(inside.size(), kIdDigits) : "";
    host->mounts.push_back({path, id, IsId(container) ? container : ""});
  }
  return absl::OkStatus();
}

// A monitor of ours says so on its command line: serve --pod ID --dir <state>/pods/ID.
absl::Status FindMonitors(const Ground& ground, Inventory* host) {
  BERTH_ASSIGN_OR_RETURN(const auto names, NamesIn("/proc"));
  for (const auto& name : names) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(name, &pid)) continue;
    const auto identity = base::IdentifyProcess(pid);
    const auto line = base::ReadFile(absl::StrCat("/proc/", pid, "/cmdline"));
    if (!identity.ok() || !line.ok()) continue;  // it has ended
    const std::vector<std::string> words = absl::StrSplit(*line, '\0');
    if (words.size() < 6 || !absl::EndsWith(words[0], "berth-monitor") || words[1] != "serve") continue;
    std::string pod, dir;
    for (std::size_t i = 2; i + 1 < words.size(); ++i) {
      if (words[i] == "--pod") pod = words[i + 1];
      if (words[i] == "--dir") dir = words[i + 1];
    }
    if (IsId(pod) && dir == absl::StrCat(ground.state, "/pods/", pod))
      host->monitors.push_back({*identity, pod});
  }
  return absl::OkStatus();
}

absl::Status FindDirectories(const Ground& ground, Inventory* host) {
  for (const std::string& base : {ground.root, ground.state}) {
    BERTH_ASSIGN_OR_RETURN(const auto pods, NamesIn(base + "/pods"));
    for (const auto& pod : pods) {
      if (!IsId(pod)) continue;
      const std::string path = absl::StrCat(base, "/pods/", pod);
      host->directories.push_back({path, pod, ""});
      BERTH_ASSIGN_OR_RETURN(const auto containers, NamesIn(path + "/containers"));
      for (const auto& container : containers) {
        if (IsId(container))
          host->directories.push_back({absl::StrCat(path, "/containers/", container), pod, container});
      }
    }
  }
  BERTH_ASSIGN_OR_RETURN(const auto rootfs, NamesIn(ground.root + "/containers"));
  for (const auto& name : rootfs) {
    if (const std::string container = OwnerOf(name); !container.empty())
      host->directories.push_back({absl::StrCat(ground.root, "/containers/", name), "", container});
  }
  return absl::OkStatus();
}

absl::Status FindImages(const Ground& ground, Inventory* host) {
  BERTH_ASSIGN_OR_RETURN(const auto layers, NamesIn(ground.root + "/layers"));
  for (const auto& name : layers) {
    if (IsId(name)) host->layers.insert("sha256:" + name);
  }
  BERTH_ASSIGN_OR_RETURN(const auto images, NamesIn(ground.root + "/images"));
  for (const auto& name : images) {
    const std::string id = name.substr(0, name.find('.'));
    if (IsId(id) && absl::EndsWith(name, ".json")) host->images.insert("sha256:" + id);
  }
  for (const char* place : {"/quarantine", "/image-quarantine"}) {
    BERTH_ASSIGN_OR_RETURN(const auto names, NamesIn(ground.root + place));
    for (const auto& name : names) host->quarantined.push_back(absl::StrCat(ground.root, place, "/", name));
  }
  BERTH_ASSIGN_OR_RETURN(const auto files, NamesIn(ground.root));
  for (const auto& name : files) {
    if (absl::StartsWith(name, "berth.db.broken-") && !absl::EndsWith(name, "-wal") &&
        !absl::EndsWith(name, "-shm"))
      host->quarantined.push_back(absl::StrCat(ground.root, "/", name));
  }
  return absl::OkStatus();
}

// Directories of a cgroup in every hierarchy: name of the child → one of its directories that has our mark,
// or any.
absl::StatusOr<std::map<std::string, std::string>> ChildCgroups(const Ground& ground,
                                                                const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(const auto cgroup, base::ToStatusOr(ground.cgroups->At(path)));
  std::map<std::string, std::string> children;
  for (const std::string& procs : cgroup->ProcsFiles()) {
    const std::string directory = procs.substr(0, procs.rfind('/'));
    BERTH_ASSIGN_OR_RETURN(const auto names, NamesIn(directory));
    for (const auto& name : names) {
      const std::string child = absl::StrCat(directory, "/", name);
      struct stat facts {};
      if (::lstat(child.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) continue;
      std::string& known = children[name];
      if (known.empty() || MarkOf(known, ground.root).empty()) known = child;
    }
  }
  return children;
}

std::string Below(const std::string& parent, const std::string& name) {
  return parent == "/" ? "/" + name : absl::StrCat(parent, "/", name);
}

absl::Status FindContainerCgroups(const Ground& ground, const std::string& pod_cgroup,
                                  const std::string& marked_by, Inventory* host) {
  BERTH_ASSIGN_OR_RETURN(const auto children, ChildCgroups(ground, pod_cgroup));
  for (const auto& [name, directory] : children) {
    if (IsId(name)) host->cgroups.push_back({Below(pod_cgroup, name), CgroupOf::kContainer, name, marked_by});
  }
  return absl::OkStatus();
}

absl::Status FindCgroups(const Ground& ground, const Records& records, Inventory* host) {
  const std::string holders = Below(ground.cgroup_root, "berth-pause");
  BERTH_ASSIGN_OR_RETURN(const auto held, ChildCgroups(ground, holders));
  for (const auto& [name, directory] : held) {
    if (IsId(name)) host->cgroups.push_back({Below(holders, name), CgroupOf::kHolder, name, ""});
  }
  std::set<std::string> looked, parents;
  // Where kubelet and we make pods' cgroups unless told otherwise; the mark tells whose each is.
  for (const std::string& pods : {Below(ground.cgroup_root, "kubepods"), std::string("/kubepods")}) {
    for (const char* qos : {"", "/burstable", "/besteffort"}) parents.insert(pods + qos);
  }
  for (const std::string& parent : parents) {
    BERTH_ASSIGN_OR_RETURN(const auto children, ChildCgroups(ground, parent));
    for (const auto& [name, directory] : children) {
      if (!absl::StartsWith(name, "pod")) continue;
      const std::string path = Below(parent, name), mark = MarkOf(directory, ground.root);
      looked.insert(path);
      host->cgroups.push_back({path, CgroupOf::kPod, "", mark});
      BERTH_RETURN_IF_ERROR(FindContainerCgroups(ground, path, mark, host));
    }
  }
  for (const auto& [id, entry] : records.pods) {
    if (!entry.record) continue;
    const std::string& path = entry.record->status.cgroup;
    if (!looked.insert(path).second) continue;
    BERTH_RETURN_IF_ERROR(
        FindContainerCgroups(ground, path, entry.record->status.cgroup_is_ours ? id : "", host));
  }
  return absl::OkStatus();
}

// What the records name and is gone.
absl::Status FindMissing(const Ground& ground, const Records& records, Inventory* host) {
  Options options;
  options.root = ground.root;
  options.state = ground.state;
  for (const auto& [id, entry] : records.pods) {
    if (!entry.record) continue;
    if (entry.record->holder && !base::OpenProcess(*entry.record->holder).ok()) host->dead_holders.insert(id);
    const auto cgroup = ground.cgroups->At(entry.record->status.cgroup);
    if (cgroup.ok() && !(*cgroup)->Exists()) host->missing_cgroups.insert(id);
  }
  for (const auto& [id, entry] : records.containers) {
    if (!entry.record) continue;
    const ContainerPlaces places(options, entry.pod_id, id);
    if (monitor::ReadExitRecord(places.record_dir, places.state).ok()) host->ended.insert(id);
    if (entry.record->init.pid > 0 && !base::OpenProcess(entry.record->init).ok())
      host->dead_inits.insert(id);
    const auto rootfs = base::ReadFile(absl::StrCat(ground.root, "/containers/", id, "/rootfs.json"));
    if (rootfs.ok() && absl::StrContains(*rootfs, "\"copied\":true")) host->copied_rootfs.insert(id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Inventory> TakeInventory(const Ground& ground, const Records& records) {
  Inventory host;
  BERTH_RETURN_IF_ERROR(FindMonitors(ground, &host));
  BERTH_RETURN_IF_ERROR(FindMounts(ground, &host));
  BERTH_RETURN_IF_ERROR(FindDirectories(ground, &host));
  BERTH_RETURN_IF_ERROR(FindImages(ground, &host));
  BERTH_RETURN_IF_ERROR(FindCgroups(ground, records, &host));
  BERTH_RETURN_IF_ERROR(FindMissing(ground, records, &host));
  return host;
}

}  // namespace berth::runtime::fsck
