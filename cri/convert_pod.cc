// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_pod.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/convert_resources.h"

namespace berth::cri {
namespace {

absl::StatusOr<runtime::PodMetadata> MetadataFrom(const v1::PodSandboxConfig& config) {
  if (!config.has_metadata()) return absl::InvalidArgumentError("the pod's config has no metadata");
  const auto& in = config.metadata();
  // Together with the attempt they name the pod: two of the same cannot live, so none may be left out.
  if (in.name().empty()) return absl::InvalidArgumentError("the pod's metadata has no name");
  if (in.namespace_().empty()) return absl::InvalidArgumentError("the pod's metadata has no namespace");
  if (in.uid().empty()) return absl::InvalidArgumentError("the pod's metadata has no uid");
  runtime::PodMetadata out;
  out.name = in.name();
  out.uid = in.uid();
  out.name_space = in.namespace_();
  out.attempt = in.attempt();
  return out;
}

// It goes into files that are read line by line, and to sethostname(2), which takes 64 bytes.
absl::Status CheckHostname(const std::string& hostname) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  if (hostname.size() > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("hostname '", hostname, "' has ", hostname.size(), " bytes; 64 are possible"));
  }
  if (!std::all_of(hostname.begin(), hostname.end(), good)) {
    return absl::InvalidArgumentError(
        absl::StrCat("hostname '", absl::CEscape(hostname),
                     "' has other characters than letters, digits, '-', '.' and '_'"));
  }
  return absl::OkStatus();
}

absl::StatusOr<runtime::PortMapping> PortFrom(const v1::PortMapping& in) {
  if (!v1::Protocol_IsValid(in.protocol())) {
    return absl::InvalidArgumentError(
        absl::StrCat("port mapping's protocol ", static_cast<int>(in.protocol()), " is unknown"));
  }
  for (const std::int32_t port : {in.container_port(), in.host_port()}) {
    if (port < 0 || port > 65535) {
      return absl::InvalidArgumentError(
          absl::StrCat("port mapping's port ", port, " is not between 0 and 65535"));
    }
  }
  if (in.host_port() != 0 && in.container_port() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("port mapping of host port ", in.host_port(), " names no container port"));
  }
  return runtime::PortMapping{static_cast<runtime::Protocol>(in.protocol()), in.container_port(),
                              in.host_port(), in.host_ip()};
}

absl::StatusOr<std::optional<runtime::SecurityProfile>> SeccompOf(const v1::LinuxSandboxSecurityContext& in) {
  if (in.has_seccomp()) return ProfileFrom("seccomp", in.seccomp());
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return OldProfileFrom("seccomp", in.seccomp_profile_path());
#pragma GCC diagnostic pop
}

absl::Status SecurityFrom(const v1::LinuxSandboxSecurityContext& in, runtime::PodConfig* out) {
  BERTH_ASSIGN_OR_RETURN(out->namespaces, NamespacesFrom(in.namespace_options()));
  const auto unfit = [](runtime::NamespaceMode mode) {
    return mode != runtime::NamespaceMode::kPod && mode != runtime::NamespaceMode::kNode;
  };
  if (unfit(out->namespaces.network))
    return absl::InvalidArgumentError("the pod's network mode is neither POD nor NODE");
  if (unfit(out->namespaces.ipc))
    return absl::InvalidArgumentError("the pod's ipc mode is neither POD nor NODE");
  if (out->namespaces.pid == runtime::NamespaceMode::kTarget) {
    return absl::InvalidArgumentError("the pod's pid mode is TARGET, which only a container can have");
  }
  if (in.has_selinux_options()) out->selinux = SelinuxFrom(in.selinux_options());
  BERTH_ASSIGN_OR_RETURN(out->run_as_user, IdFrom("run_as_user", in.has_run_as_user(), in.run_as_user()));
  BERTH_ASSIGN_OR_RETURN(out->run_as_group, IdFrom("run_as_group", in.has_run_as_group(), in.run_as_group()));
  out->readonly_rootfs = in.readonly_rootfs();
  BERTH_ASSIGN_OR_RETURN(out->supplemental_groups, GroupsFrom(in.supplemental_groups()));
  out->strict_supplemental_groups = in.supplemental_groups_policy() == v1::Strict;
  out->privileged = in.privileged();
  BERTH_ASSIGN_OR_RETURN(out->seccomp, SeccompOf(in));
  if (in.has_apparmor()) {
    BERTH_ASSIGN_OR_RETURN(out->apparmor, ProfileFrom("apparmor", in.apparmor()));
  }
  return absl::OkStatus();
}

void EchoMetadata(const runtime::PodMetadata& in, v1::PodSandboxMetadata* out) {
  out->set_name(in.name);
  out->set_uid(in.uid);
  out->set_namespace_(in.name_space);
  out->set_attempt(in.attempt);
}

// What the list item and the status have in common.
template <typename Message>
void EchoPod(const runtime::PodStatus& pod, Message* out) {
  out->set_id(pod.id);
  EchoMetadata(pod.config.metadata, out->mutable_metadata());
  out->set_state(pod.state == runtime::PodState::kReady ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY);
  out->set_created_at(pod.created_at);
  out->mutable_labels()->insert(pod.config.labels.begin(), pod.config.labels.end());
  out->mutable_annotations()->insert(pod.config.annotations.begin(), pod.config.annotations.end());
  out->set_runtime_handler(pod.runtime_handler);
}

}  // namespace

absl::StatusOr<runtime::PodConfig> PodConfigFrom(const v1::PodSandboxConfig& in) {
  runtime::PodConfig out;
  BERTH_ASSIGN_OR_RETURN(out.metadata, MetadataFrom(in));
  BERTH_RETURN_IF_ERROR(CheckHostname(in.hostname()));
  out.hostname = in.hostname();
  out.log_directory = in.log_directory();
  if (in.has_dns_config()) {
    out.dns =
        runtime::DnsConfig{VectorFrom(in.dns_config().servers()), VectorFrom(in.dns_config().searches()),
                           VectorFrom(in.dns_config().options())};
  }
  for (const auto& mapping : in.port_mappings()) {
    BERTH_ASSIGN_OR_RETURN(auto port, PortFrom(mapping));
    out.port_mappings.push_back(std::move(port));
  }
  out.labels = MapFrom(in.labels());
  out.annotations = MapFrom(in.annotations());
  const auto& linux_config = in.linux();
  out.cgroup_parent = linux_config.cgroup_parent();
  out.sysctls = MapFrom(linux_config.sysctls());
  if (linux_config.has_overhead()) {
    BERTH_ASSIGN_OR_RETURN(out.overhead, ResourcesFrom(linux_config.overhead()));
  }
  if (linux_config.has_resources()) {
    BERTH_ASSIGN_OR_RETURN(out.resources, ResourcesFrom(linux_config.resources()));
  }
  BERTH_RETURN_IF_ERROR(SecurityFrom(linux_config.security_context(), &out));
  return out;
}

v1::PodSandbox PodItem(const runtime::PodStatus& pod) {
  v1::PodSandbox item;
  EchoPod(pod, &item);
  return item;
}

v1::PodSandboxStatus PodStatusMessage(const runtime::PodStatus& pod) {
  v1::PodSandboxStatus status;
  EchoPod(pod, &status);
  EchoNamespaces(pod.config.namespaces, status.mutable_linux()->mutable_namespaces()->mutable_options());
  // Empty for the host's network: kubelet puts the node's address in.
  auto* network = status.mutable_network();
  for (std::size_t i = 0; i < pod.ips.size(); ++i) {
    if (i == 0) {
      network->set_ip(pod.ips[i]);
    } else if (pod.ips[i] != pod.ips[0]) {
      network->add_additional_ips()->set_ip(pod.ips[i]);
    }
  }
  return status;
}

}  // namespace berth::cri
