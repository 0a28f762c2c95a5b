// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/spec.h"

#include "base/status.h"
#include "runtime/oci/base_spec.h"
#include "runtime/oci/spec_parts.h"
#include "runtime/security/relabel.h"

namespace berth::runtime::oci {
namespace {

using nlohmann::json;

// Few, and those that hooks and other tools on nodes already look for.
json Annotations(const SpecInput& input) {
  json annotations = json::object();
  const HandlerConfig& config = input.handler->config;
  for (const auto& [key, value] : AllowedAnnotations(input.pod->annotations, config.pod_annotations))
    annotations[key] = value;
  for (const auto& [key, value] :
       AllowedAnnotations(input.container->annotations, config.container_annotations))
    annotations[key] = value;
  annotations.update({{"io.kubernetes.cri.container-type", "container"},
                      {"io.kubernetes.cri.container-name", input.container->metadata.name},
                      {"io.kubernetes.cri.sandbox-id", input.pod_id},
                      {"io.kubernetes.cri.sandbox-name", input.pod->metadata.name},
                      {"io.kubernetes.cri.sandbox-namespace", input.pod->metadata.name_space},
                      {"io.kubernetes.cri.sandbox-uid", input.pod->metadata.uid}});
  return annotations;
}

// Where neither the configuration nor the base says another thing.
void LimitDescriptors(const SpecInput& input, json& process) {
  if (!input.host->descriptors) return;
  for (const json& limit : process.value("rlimits", json::array())) {
    if (limit.is_object() && limit.value("type", "") == input.host->descriptors->type) return;
  }
  const auto& [type, soft, hard] = *input.host->descriptors;
  process["rlimits"].push_back({{"type", type}, {"soft", soft}, {"hard", hard}});
}

}  // namespace

absl::StatusOr<security::CapabilitySets> Capabilities(const SpecInput& input) {
  return security::ComputeCapabilities(*input.container, input.host->capabilities);
}

absl::StatusOr<json> BuildSpec(const SpecInput& input) {
  BERTH_ASSIGN_OR_RETURN(const security::CapabilitySets capabilities, Capabilities(input));
  const bool privileged = input.container->privileged;
  json spec;
  spec["ociVersion"] = input.handler->spec_version;
  BERTH_ASSIGN_OR_RETURN(spec["process"], Process(input, capabilities));
  spec["root"] = {{"path", input.paths.rootfs}, {"readonly", input.container->readonly_rootfs}};
  BERTH_ASSIGN_OR_RETURN(Mounts mounts, BuildMounts(input));
  spec["mounts"] = std::move(mounts.list);
  spec["annotations"] = Annotations(input);

  json& linux = spec["linux"] = json::object();
  linux["cgroupsPath"] = input.cgroup;
  BERTH_ASSIGN_OR_RETURN(linux["namespaces"], Namespaces(input));
  if (input.namespaces.user_namespace) {
    linux["uidMappings"] = Mappings(input.namespaces.uid_mappings);
    linux["gidMappings"] = Mappings(input.namespaces.gid_mappings);
  }
  BERTH_ASSIGN_OR_RETURN(linux["resources"], Resources(input));
  if (json devices = Devices(input); !devices.empty()) linux["devices"] = std::move(devices);
  if (!mounts.rootfs_propagation.empty()) linux["rootfsPropagation"] = mounts.rootfs_propagation;
  // Literal: an empty list is procMount Unmasked.
  if (!privileged && !input.container->masked_paths.empty())
    linux["maskedPaths"] = input.container->masked_paths;
  if (!privileged && !input.container->readonly_paths.empty())
    linux["readonlyPaths"] = input.container->readonly_paths;
  BERTH_ASSIGN_OR_RETURN(json seccomp, Seccomp(input, capabilities));
  if (!seccomp.is_null()) linux["seccomp"] = std::move(seccomp);
  if (const auto it = spec["process"].find("selinuxLabel"); it != spec["process"].end()) {
    // Files take the process label's user and level, and a type that containers may write.
    linux["mountLabel"] = security::FileLabel(it->get<std::string>());
  }
  FillFromBase(input.handler->base_spec, spec);
  LimitDescriptors(input, spec["process"]);
  return spec;
}

}  // namespace berth::runtime::oci
