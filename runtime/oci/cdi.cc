// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/cdi.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/oci/spec_parts.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

void Append(const CdiEdits& more, CdiEdits& edits) {
  const auto add = [](const auto& from, auto& to) { to.insert(to.end(), from.begin(), from.end()); };
  add(more.env, edits.env);
  add(more.devices, edits.devices);
  add(more.mounts, edits.mounts);
  add(more.hooks, edits.hooks);
  add(more.groups, edits.groups);
}

void SetEnv(const std::string& entry, json& env) {
  const std::string name = entry.substr(0, entry.find('=') + 1);
  for (json& there : env) {
    if (there.get<std::string>().rfind(name, 0) != 0) continue;
    there = entry;
    return;
  }
  env.push_back(entry);
}

absl::Status AddDevice(const CdiDeviceNode& node, json& spec) {
  const std::string host = node.host_path.empty() ? node.path : node.host_path;
  struct stat st {};
  const bool known = !node.type.empty() && (node.type == "p" || node.major != 0 || node.minor != 0);
  if (!known && ::stat(host.c_str(), &st) != 0)
    return base::WithCode(absl::StatusCode::kInvalidArgument,
                          base::SyscallError(errno, absl::StrCat("CDI device node '", host, "'")));
  if (!known && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISFIFO(st.st_mode))
    return absl::InvalidArgumentError(absl::StrCat("CDI device node '", host, "' is no device"));
  const std::string type = known ? node.type : S_ISCHR(st.st_mode) ? "c" : S_ISBLK(st.st_mode) ? "b" : "p";
  const std::int64_t major_number = known ? node.major : major(st.st_rdev);
  const std::int64_t minor_number = known ? node.minor : minor(st.st_rdev);
  json device = {{"path", CleanPath(node.path)}, {"type", type}};
  if (type != "p") {
    device["major"] = major_number;
    device["minor"] = minor_number;
  }
  // Unset ones are the process' own, so that it can open what it was given.
  const json& user = spec.at("process").at("user");
  device["uid"] = node.uid ? json(*node.uid) : user.value("uid", json(0));
  device["gid"] = node.gid ? json(*node.gid) : user.value("gid", json(0));
  if (node.mode) device["fileMode"] = *node.mode & 07777;
  json& devices = spec["linux"]["devices"];
  if (devices.is_null()) devices = json::array();
  const auto path = device.value("path", "");
  for (auto it = devices.begin(); it != devices.end();)
    it = it->value("path", "") == path ? devices.erase(it) : it + 1;
  devices.push_back(std::move(device));
  if (type != "p") {
    spec["linux"]["resources"]["devices"].push_back({{"allow", true},
                                                     {"type", type},
                                                     {"major", major_number},
                                                     {"minor", minor_number},
                                                     {"access", node.permissions}});
  }
  return absl::OkStatus();
}

// Parents first: behind the last mount that it lies below.
void AddMount(const json& mount, json& mounts) {
  const std::string place = CleanPath(mount.at("destination"));
  const auto depth = std::count(place.begin(), place.end(), '/');
  std::size_t at = mounts.size();
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const std::string there = mounts[i].at("destination");
    if (std::count(there.begin(), there.end(), '/') > depth && absl::StartsWith(there, place + "/")) {
      at = i;
      break;
    }
  }
  json clean = mount;
  clean["destination"] = place;
  mounts.insert(mounts.begin() + static_cast<std::ptrdiff_t>(at), std::move(clean));
}

}  // namespace

CdiRegistry CdiRegistry::Read(const std::vector<std::string>& dirs) {
  CdiRegistry registry;
  int priority = 0;
  for (const std::string& dir : dirs) {
    ++priority;
    const auto names = base::ListDir(dir);
    if (!names.ok()) continue;  // most nodes have none
    for (const std::string& name : *names) {
      if (!absl::EndsWith(name, ".json") && !absl::EndsWith(name, ".yaml") && !absl::EndsWith(name, ".yml"))
        continue;
      const std::string file = absl::StrCat(dir, "/", name);
      const auto text = base::ReadFile(file, 8 << 20);
      auto spec = text.ok() ? ParseCdi(file, *text) : absl::StatusOr<CdiSpec>(base::ToStatus(text.error()));
      if (!spec.ok()) {
        base::LogWarning("a CDI file is left out", {{"file", file}, {"error", spec.status()}});
        absl::StrAppend(&registry.broken_, "; left out: ", spec.status().message());
        continue;
      }
      const auto shared = std::make_shared<const CdiSpec>(std::move(*spec));
      for (const auto& [device, edits] : shared->devices) {
        Found& found = registry.devices_[absl::StrCat(shared->kind, "=", device)];
        const std::string other = found.priority == priority ? found.file : "";
        found = {shared, file, priority, other};
      }
    }
  }
  return registry;
}

absl::StatusOr<CdiEdits> CdiRegistry::Resolve(const std::vector<std::string>& names) const {
  CdiEdits edits;
  std::set<const CdiSpec*> seen;
  for (const std::string& name : names) {
    BERTH_RETURN_IF_ERROR(CheckCdiName(name));
    const auto it = devices_.find(name);
    if (it == devices_.end())
      return absl::InvalidArgumentError(absl::StrCat("no CDI file defines the device '", name, "'", broken_));
    const Found& found = it->second;
    if (!found.conflict.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("CDI device '", name, "' is defined by both '",
                                                     found.conflict, "' and '", found.file, "'"));
    }
    if (seen.insert(found.spec.get()).second) Append(found.spec->edits, edits);
    Append(found.spec->devices.at(name.substr(name.find('=') + 1)), edits);
  }
  return edits;
}

absl::Status ApplyCdi(const CdiEdits& edits, json& spec) {
  for (const std::string& entry : edits.env) SetEnv(entry, spec["process"]["env"]);
  for (const CdiDeviceNode& node : edits.devices) BERTH_RETURN_IF_ERROR(AddDevice(node, spec));
  for (const json& mount : edits.mounts) AddMount(mount, spec["mounts"]);
  for (const auto& [stage, hook] : edits.hooks) spec["hooks"][stage].push_back(hook);
  for (const std::uint32_t group : edits.groups) {
    json& groups = spec["process"]["user"]["additionalGids"];
    if (group != 0 && std::find(groups.begin(), groups.end(), json(group)) == groups.end())
      groups.push_back(group);
  }
  return absl::OkStatus();
}

}  // namespace berth::runtime::oci
