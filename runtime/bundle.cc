// SPDX-License-Identifier: Apache-2.0
#include "runtime/bundle.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/status.h"
#include "runtime/image_volumes.h"
#include "runtime/oci/cdi.h"
#include "runtime/oci/devices.h"
#include "runtime/oci/spec.h"
#include "runtime/pod.h"
#include "runtime/security/apparmor.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {
namespace {

constexpr char kConfigName[] = "/config.json";
constexpr std::size_t kConfigCap = 16 << 20;

// By a pin of the container's own, not by the target's pid: that may be another's by the time the OCI runtime
// opens it.
absl::StatusOr<std::string> TargetPidNamespace(Core& core, const Pod& pod, const std::string& target_id,
                                               const std::string& pin) {
  const auto target = core.FindContainer(target_id);
  if (target == nullptr || target->pod()->id() != pod.id()) {
    return absl::InvalidArgumentError(absl::StrCat("target container '", target_id, "' is not in this pod"));
  }
  const ContainerRecord record = target->record();
  const auto ended = [&] {
    return absl::FailedPreconditionError(absl::StrCat("target container '", target_id, "' is not running"));
  };
  if (record.status.state != ContainerState::kRunning) return ended();
  const auto process = base::OpenProcess(record.init);
  if (!process.ok()) return ended();
  const auto file = base::OpenAt(AT_FDCWD, absl::StrCat("/proc/", record.init.pid, "/ns/pid"), O_RDONLY);
  // Opened while it lived: it is the target's.
  if (!file.ok() || base::PidfdExited(process->get())) return ended();
  BERTH_RETURN_IF_ERROR(UnpinTarget(pin));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(pin, "")));
  BERTH_FAULT_POINT("runtime.pin_target");
  if (::mount(absl::StrCat("/proc/self/fd/", file->get()).c_str(), pin.c_str(), nullptr, MS_BIND, nullptr) !=
      0)
    return base::SyscallError(errno, absl::StrCat("pin the PID namespace of container '", target_id, "'"));
  return pin;
}

absl::StatusOr<oci::ContainerPaths> Paths(Core& core, const Pod& pod, const PodConfig& config,
                                          const NamespaceOptions& namespaces, const std::string& rootfs,
                                          const ContainerPlaces& container) {
  const PodPlaces& places = pod.places();
  oci::ContainerPaths paths;
  paths.rootfs = rootfs;
  paths.resolv_conf = places.resolv_conf;
  paths.hosts = places.hosts;
  paths.hostname = places.hostname;
  if (config.namespaces.network == NamespaceMode::kPod) {
    paths.netns = places.pins + "/net";
    paths.utsns = places.pins + "/uts";
  }
  if (config.namespaces.user_namespace) paths.userns = places.pins + "/user";
  if (config.namespaces.ipc == NamespaceMode::kPod) {
    paths.ipcns = places.pins + "/ipc";
    paths.shm = places.shm;
  } else {
    paths.shm = "/dev/shm";
  }
  if (namespaces.pid == NamespaceMode::kPod) paths.pidns = places.pins + "/pid";
  if (namespaces.pid == NamespaceMode::kTarget) {
    BERTH_ASSIGN_OR_RETURN(paths.pidns,
                           TargetPidNamespace(core, pod, namespaces.target_id, TargetPin(container)));
  }
  return paths;
}

absl::StatusOr<nlohmann::json> LocalhostProfile(const std::string& path) {
  auto text = base::ReadFile(path);
  if (!text.ok())
    return base::WithCode(absl::StatusCode::kInvalidArgument, base::ToStatus(text.error()),
                          "read the seccomp profile");
  nlohmann::json profile = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (profile.is_discarded())
    return absl::InvalidArgumentError(absl::StrCat("the seccomp profile '", path, "' is not JSON"));
  return profile;
}

}  // namespace

std::string TargetPin(const ContainerPlaces& places) { return places.state + "/target-pid"; }

absl::Status UnpinTarget(const std::string& pin) {
  if (::umount2(pin.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
    return absl::OkStatus();
  return base::SyscallError(errno, absl::StrCat("unmount '", pin, "'"));
}

NamespaceOptions EffectiveNamespaces(const PodConfig& pod, const ContainerConfig& container) {
  NamespaceOptions effective = pod.namespaces;
  if (container.namespaces) {
    effective.pid = container.namespaces->pid;
    effective.target_id = container.namespaces->target_id;
  }
  // Shared only if the pod has a holder for it.
  if (effective.pid == NamespaceMode::kPod && pod.namespaces.pid != NamespaceMode::kPod)
    effective.pid = NamespaceMode::kContainer;
  return effective;
}

absl::Status WriteBundle(Core& core, Container& container, const std::string& rootfs) {
  const ContainerRecord record = container.record();
  const PodRecord pod = container.pod()->record();
  const oci::Handler* handler = core.options.handlers->Find(pod.handler);
  if (handler == nullptr)
    return absl::FailedPreconditionError(
        absl::StrCat("the pod's runtime handler '", pod.handler, "' is not configured any more"));
  const auto image = core.options.images->Find(record.status.image_id);
  if (image == nullptr)
    return absl::FailedPreconditionError(absl::StrCat("image '", record.status.image_id, "' is gone"));

  oci::SpecInput input;
  input.pod = &pod.status.config;
  input.container = &record.status.config;
  input.image = &image->config;
  input.host = &core.host_facts;
  input.handler = handler;
  input.namespaces = EffectiveNamespaces(pod.status.config, record.status.config);
  BERTH_ASSIGN_OR_RETURN(input.paths, Paths(core, *container.pod(), pod.status.config, input.namespaces,
                                            rootfs, container.places()));
  input.user = record.status.user.value_or(ResolvedUser{});
  input.cgroup = record.status.cgroup;
  input.container_id = container.id();
  input.pod_id = pod.status.id;
  for (std::size_t i = 0; i < record.status.config.mounts.size(); ++i) {
    std::string source = i < record.mount_sources.size() ? record.mount_sources[i] : "";
    if (source.empty()) source = MappedSource(container.places(), record.status.config, i);
    input.paths.mount_sources.push_back(std::move(source));
  }
  for (const auto& volume : DeclaredVolumes(container.places(), image->config, record.status.config))
    input.paths.volumes.emplace_back(volume.path, volume.source);
  BERTH_ASSIGN_OR_RETURN(
      input.devices,
      oci::ResolveDevices(record.status.config, !handler->config.privileged_without_host_devices));
  const auto& apparmor = record.status.config.apparmor;
  if (apparmor && apparmor->type == ProfileType::kLocalhost && core.host_facts.apparmor &&
      !record.status.config.privileged) {
    BERTH_RETURN_IF_ERROR(security::CheckApparmorProfile(apparmor->localhost_ref));
  }
  const auto& seccomp = record.status.config.seccomp;
  if (seccomp && seccomp->type == ProfileType::kLocalhost && !record.status.config.privileged) {
    BERTH_ASSIGN_OR_RETURN(input.localhost_seccomp, LocalhostProfile(seccomp->localhost_ref));
  }
  input.defaults = &core.options.defaults;
  BERTH_ASSIGN_OR_RETURN(nlohmann::json spec, oci::BuildSpec(input));
  if (const auto& names = record.status.config.cdi_devices; !names.empty()) {
    BERTH_ASSIGN_OR_RETURN(const oci::CdiEdits edits,
                           oci::CdiRegistry::Read(core.options.cdi_dirs).Resolve(names));
    BERTH_RETURN_IF_ERROR(oci::ApplyCdi(edits, spec));
  }
  oci::ApplyHooks(handler->hooks, spec);
  std::string text;
  try {
    text = spec.dump();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError(
        "a command, argument, path or environment value is not UTF-8: the OCI runtime takes JSON only");
  }
  BERTH_FAULT_POINT("runtime.bundle");
  return base::ToStatus(base::WriteFile(container.places().state + kConfigName, text));
}

absl::StatusOr<nlohmann::json> ReadBundle(const Container& container) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, base::ToStatusOr(base::ReadFile(
                                                     container.places().state + kConfigName, kConfigCap)));
  nlohmann::json spec = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!spec.is_object())
    return absl::DataLossError(absl::StrCat("the bundle of container ", container.id(), " is not readable"));
  return spec;
}

absl::StatusOr<std::string> BundleRootfs(const Container& container) {
  BERTH_ASSIGN_OR_RETURN(const nlohmann::json spec, ReadBundle(container));
  const nlohmann::json path = spec.value(nlohmann::json::json_pointer("/root/path"), nlohmann::json());
  if (!path.is_string())
    return absl::DataLossError(absl::StrCat("the bundle of container ", container.id(), " names no root"));
  return path.get<std::string>();
}

}  // namespace berth::runtime
