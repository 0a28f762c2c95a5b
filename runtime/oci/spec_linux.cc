// SPDX-License-Identifier: Apache-2.0
// The `linux` object's parts: namespaces, limits, devices, filter.
#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "runtime/oci/spec_parts.h"
#include "runtime/security/seccomp.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

bool Has(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// A limit that the kernel here cannot keep is refused, never forgotten.
absl::Status NeedController(const SpecInput& input, const char* controller, const char* limit) {
  if (Has(input.host->cgroup_controllers, controller)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("a ", limit, " was asked for, but this host has no cgroup controller '", controller, "'"));
}

// Joining beats making: `path` set. Otherwise the host's, and only where the request says so.
absl::Status Join(json& list, const char* type, const std::string& path, bool host_asked) {
  if (!path.empty()) {
    list.push_back({{"type", type}, {"path", path}});
  } else if (!host_asked) {
    return absl::InternalError(absl::StrCat(
        "the pod has no ", type, " namespace to join, and its containers must not use the host's"));
  }
  return absl::OkStatus();
}

}  // namespace

json Mappings(const std::vector<IdMapping>& mappings) {
  json out = json::array();
  for (const IdMapping& m : mappings)
    out.push_back({{"containerID", m.container_id}, {"hostID", m.host_id}, {"size", m.length}});
  return out;
}

absl::StatusOr<json> Namespaces(const SpecInput& input) {
  const NamespaceOptions& ns = input.namespaces;
  json list = json::array();
  list.push_back({{"type", "mount"}});
  const bool host_network = ns.network == NamespaceMode::kNode;
  BERTH_RETURN_IF_ERROR(Join(list, "network", host_network ? "" : input.paths.netns, host_network));
  BERTH_RETURN_IF_ERROR(Join(list, "ipc", ns.ipc == NamespaceMode::kNode ? "" : input.paths.ipcns,
                             ns.ipc == NamespaceMode::kNode));
  // CRI has no word for the UTS namespace: it goes with the network.
  BERTH_RETURN_IF_ERROR(Join(list, "uts", input.paths.utsns, host_network));
  switch (ns.pid) {
    case NamespaceMode::kNode:
      break;
    case NamespaceMode::kContainer:
      list.push_back({{"type", "pid"}});
      break;
    case NamespaceMode::kPod:
    case NamespaceMode::kTarget:
      BERTH_RETURN_IF_ERROR(Join(list, "pid", input.paths.pidns, false));
      break;
  }
  if (ns.user_namespace) {
    if (!input.handler->features.user_namespaces) {
      return absl::FailedPreconditionError(
          absl::StrCat("a user namespace was asked for, but handler '", input.handler->name,
                       "' cannot make one on this host: set hostUsers: true or use another RuntimeClass"));
    }
    if (ns.uid_mappings.empty() || ns.gid_mappings.empty())
      return absl::InvalidArgumentError("a user namespace without id mappings");
    BERTH_RETURN_IF_ERROR(Join(list, "user", input.paths.userns, false));
  }
  // As on every other runtime: privileged containers see the host's tree, and v1 hierarchies are shown bound
  // from the container's own.
  if (input.host->cgroup_v2 && !input.container->privileged) list.push_back({{"type", "cgroup"}});
  return list;
}

json Devices(const SpecInput& input) {
  json list = json::array();
  for (const auto& device : input.devices) {
    list.push_back({{"path", CleanPath(device.path)},
                    {"type", device.type},
                    {"major", device.major},
                    {"minor", device.minor},
                    {"fileMode", device.mode & 07777},
                    {"uid", device.uid},
                    {"gid", device.gid}});
  }
  return list;
}

absl::StatusOr<json> Resources(const SpecInput& input) {
  const cgroupfs::Resources& r = input.container->resources;
  json out = json::object();

  json& devices = out["devices"] = json::array();
  if (input.container->privileged && !input.handler->config.privileged_without_host_devices) {
    devices.push_back({{"allow", true}, {"access", "rwm"}});
  } else {
    devices.push_back({{"allow", false}, {"access", "rwm"}});
    for (const auto& device : input.devices) {
      devices.push_back({{"allow", true},
                         {"type", device.type},
                         {"major", device.major},
                         {"minor", device.minor},
                         {"access", device.permissions.empty() ? "rwm" : device.permissions}});
    }
  }

  json cpu = json::object();
  // A weight without its controller changes nothing that can be seen; a quota is a promise.
  if (r.cpu_shares.value_or(0) > 0 && Has(input.host->cgroup_controllers, "cpu"))
    cpu["shares"] = *r.cpu_shares;
  if (const auto quota = r.cpu_quota_us.value_or(0); quota != 0) {
    if (quota > 0) BERTH_RETURN_IF_ERROR(NeedController(input, "cpu", "cpu quota"));
    if (Has(input.host->cgroup_controllers, "cpu")) cpu["quota"] = quota;
  }
  if (r.cpu_period_us.value_or(0) > 0 && Has(input.host->cgroup_controllers, "cpu"))
    cpu["period"] = *r.cpu_period_us;
  if (!r.cpuset_cpus.empty() || !r.cpuset_mems.empty()) {
    BERTH_RETURN_IF_ERROR(NeedController(input, "cpuset", "cpu set"));
    if (!r.cpuset_cpus.empty()) cpu["cpus"] = r.cpuset_cpus;
    if (!r.cpuset_mems.empty()) cpu["mems"] = r.cpuset_mems;
  }
  if (!cpu.empty()) out["cpu"] = std::move(cpu);

  json memory = json::object();
  if (const auto limit = r.memory_limit_bytes.value_or(0); limit != 0) {
    if (limit > 0) BERTH_RETURN_IF_ERROR(NeedController(input, "memory", "memory limit"));
    if (Has(input.host->cgroup_controllers, "memory")) memory["limit"] = limit;
  }
  // Without swap accounting the kernel has no file for it; kubelet sends the value all the same.
  if (const auto swap = r.memory_swap_limit_bytes.value_or(0); swap != 0 && input.host->swap_accounting) {
    const auto limit = r.memory_limit_bytes.value_or(0);
    if (swap > 0 && limit > 0 && swap < limit) {
      return absl::InvalidArgumentError(absl::StrCat(
          "memory+swap limit of ", swap, " bytes is below the memory limit of ", limit, " bytes"));
    }
    memory["swap"] = swap;
  }
  if (!memory.empty()) out["memory"] = std::move(memory);

  if (const auto pids = r.pids_limit.value_or(0); pids > 0) {
    BERTH_RETURN_IF_ERROR(NeedController(input, "pids", "limit of processes"));
    out["pids"] = {{"limit", pids}};
  }
  for (const auto& page : r.hugepage_limits) {
    if (!Has(input.host->hugepage_sizes, page.page_size)) {
      if (page.limit_bytes == 0) continue;  // kubelet sends a zero for every page size of the CPU
      return absl::FailedPreconditionError(
          absl::StrCat("huge pages of ", page.page_size,
                       " were asked for, but their number cannot be limited on this host"));
    }
    out["hugepageLimits"].push_back({{"pageSize", page.page_size}, {"limit", page.limit_bytes}});
  }
  for (const auto& [file, value] : r.unified) {
    if (!input.host->cgroup_v2)
      return absl::FailedPreconditionError(
          absl::StrCat("'", file, "' can only be set with cgroup v2, and this host has v1"));
    const bool plain =
        file.find('.') != std::string::npos && std::all_of(file.begin(), file.end(), [](unsigned char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                 c == '_';
        });
    if (!plain || file.find("..") != std::string::npos || file[0] == '.' || file.rfind("cgroup.", 0) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", file, "' is no cgroup setting of a container"));
    }
    out["unified"][file] = value;
  }
  return out;
}

absl::StatusOr<json> Seccomp(const SpecInput& input, const security::CapabilitySets& capabilities) {
  const auto& wanted = input.container->seccomp;
  if (input.container->privileged || !wanted || wanted->type == ProfileType::kUnconfined) return json();
  if (!input.host->seccomp) {
    return absl::FailedPreconditionError(
        "a seccomp profile was asked for, but this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)");
  }
  if (!input.handler->features.seccomp) {
    return absl::FailedPreconditionError(
        absl::StrCat("a seccomp profile was asked for, but runtime handler '", input.handler->name,
                     "' applies none on this node: ", input.handler->features.no_seccomp,
                     "; install a build with seccomp, or name another handler"));
  }
  const security::SeccompContext context{input.host->architecture,
                                         {capabilities.bounding.begin(), capabilities.bounding.end()}};
  if (wanted->type == ProfileType::kRuntimeDefault) {
    const json& own = input.handler->seccomp_profile;
    return own.is_null() ? security::DefaultSeccompProfile(context)
                         : security::ConvertSeccompProfile(own, context);
  }
  if (!input.localhost_seccomp) {
    return absl::InternalError(absl::StrCat("seccomp profile '", wanted->localhost_ref, "' was not read"));
  }
  auto profile = security::ConvertSeccompProfile(*input.localhost_seccomp, context);
  if (!profile.ok()) return base::Annotate(profile.status(), absl::StrCat("'", wanted->localhost_ref, "'"));
  return profile;
}

}  // namespace berth::runtime::oci
