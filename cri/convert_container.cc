// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_container.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/convert_resources.h"
#include "cri/signals.h"

namespace berth::cri {
namespace {

constexpr std::int64_t kMaxOomScore = 1000;

runtime::ImageSpec ImageFrom(const v1::ImageSpec& in) {
  return {in.image(), MapFrom(in.annotations()), in.user_specified_image(), in.runtime_handler(),
          in.image_ref()};
}

absl::StatusOr<runtime::Mount> MountFrom(const v1::Mount& in) {
  if (in.container_path().empty()) return absl::InvalidArgumentError("a mount has no container_path");
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("mount at '", in.container_path(), "' ", why));
  };
  if (!v1::MountPropagation_IsValid(in.propagation())) return bad("has an unknown propagation");
  const bool image = in.has_image() && !in.image().image().empty();
  if (image && !in.host_path().empty()) return bad("has both a host path and an image");
  if (!image && in.host_path().empty()) return bad("has neither a host path nor an image");
  if (image && !in.readonly()) return bad("is an image volume, which must be read-only");
  runtime::Mount out;
  out.container_path = in.container_path();
  out.host_path = in.host_path();
  out.readonly = in.readonly();
  out.selinux_relabel = in.selinux_relabel();
  out.propagation = static_cast<runtime::MountPropagation>(in.propagation());
  out.uid_mappings = MappingsFrom(in.uidmappings());
  out.gid_mappings = MappingsFrom(in.gidmappings());
  out.recursive_read_only = in.recursive_read_only();
  if (image) out.image = ImageFrom(in.image());
  out.image_sub_path = in.image_sub_path();
  out.mount_options = VectorFrom(in.mount_options());
  return out;
}

absl::StatusOr<std::optional<runtime::SecurityProfile>> SeccompOf(
    const v1::LinuxContainerSecurityContext& in) {
  if (in.has_seccomp()) return ProfileFrom("seccomp", in.seccomp());
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return OldProfileFrom("seccomp", in.seccomp_profile_path());
#pragma GCC diagnostic pop
}

absl::StatusOr<std::optional<runtime::SecurityProfile>> ApparmorOf(
    const v1::LinuxContainerSecurityContext& in) {
  if (in.has_apparmor()) return ProfileFrom("apparmor", in.apparmor());
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return OldProfileFrom("apparmor", in.apparmor_profile());
#pragma GCC diagnostic pop
}

absl::Status SecurityFrom(const v1::LinuxContainerSecurityContext& in, runtime::ContainerConfig* out) {
  out->add_capabilities = VectorFrom(in.capabilities().add_capabilities());
  out->drop_capabilities = VectorFrom(in.capabilities().drop_capabilities());
  out->add_ambient_capabilities = VectorFrom(in.capabilities().add_ambient_capabilities());
  out->privileged = in.privileged();
  if (in.has_namespace_options()) {
    BERTH_ASSIGN_OR_RETURN(out->namespaces, NamespacesFrom(in.namespace_options()));
  }
  if (in.has_selinux_options()) out->selinux = SelinuxFrom(in.selinux_options());
  BERTH_ASSIGN_OR_RETURN(out->run_as_user, IdFrom("run_as_user", in.has_run_as_user(), in.run_as_user()));
  BERTH_ASSIGN_OR_RETURN(out->run_as_group, IdFrom("run_as_group", in.has_run_as_group(), in.run_as_group()));
  out->run_as_username = in.run_as_username();
  if (out->run_as_group && !out->run_as_user && out->run_as_username.empty()) {
    return absl::InvalidArgumentError("run_as_group is set, but neither run_as_user nor run_as_username");
  }
  out->readonly_rootfs = in.readonly_rootfs();
  BERTH_ASSIGN_OR_RETURN(out->supplemental_groups, GroupsFrom(in.supplemental_groups()));
  out->strict_supplemental_groups = in.supplemental_groups_policy() == v1::Strict;
  out->no_new_privs = in.no_new_privs();
  out->masked_paths = VectorFrom(in.masked_paths());
  out->readonly_paths = VectorFrom(in.readonly_paths());
  BERTH_ASSIGN_OR_RETURN(out->seccomp, SeccompOf(in));
  BERTH_ASSIGN_OR_RETURN(out->apparmor, ApparmorOf(in));
  return absl::OkStatus();
}

absl::Status LinuxFrom(const v1::LinuxContainerConfig& in, runtime::ContainerConfig* out) {
  if (in.has_resources()) {
    BERTH_ASSIGN_OR_RETURN(out->resources, ResourcesFrom(in.resources()));
    const std::int64_t score = in.resources().oom_score_adj();
    if (score < -kMaxOomScore || score > kMaxOomScore) {
      return absl::InvalidArgumentError(
          absl::StrCat("oom_score_adj ", score, " is not between -1000 and 1000"));
    }
    out->oom_score_adj = score;
  }
  return SecurityFrom(in.security_context(), out);
}

void EchoImage(const runtime::ImageSpec& in, v1::ImageSpec* out) {
  out->set_image(in.image);
  out->mutable_annotations()->insert(in.annotations.begin(), in.annotations.end());
  out->set_user_specified_image(in.user_specified_image);
  out->set_runtime_handler(in.runtime_handler);
  out->set_image_ref(in.image_ref);
}

// What the list item and the status have in common.
template <typename Message>
void EchoContainer(const runtime::ContainerStatus& container, Message* out) {
  out->set_id(container.id);
  out->mutable_metadata()->set_name(container.config.metadata.name);
  out->mutable_metadata()->set_attempt(container.config.metadata.attempt);
  out->set_state(static_cast<v1::ContainerState>(container.state));
  out->set_created_at(container.created_at);
  EchoImage(container.config.image, out->mutable_image());
  // Shown as the container's image in the pod's status: the name a person wrote, not the id kubelet made of
  // it.
  if (!container.config.image.user_specified_image.empty()) {
    out->mutable_image()->set_image(container.config.image.user_specified_image);
  }
  out->set_image_ref(container.image_ref.empty() ? container.image_id : container.image_ref);
  out->set_image_id(container.image_id);
  out->mutable_labels()->insert(container.config.labels.begin(), container.config.labels.end());
  out->mutable_annotations()->insert(container.config.annotations.begin(),
                                     container.config.annotations.end());
}

void EchoMount(const runtime::Mount& in, const std::function<std::string(const std::string&)>& digest_of,
               v1::Mount* out) {
  out->set_container_path(in.container_path);
  out->set_host_path(in.host_path);
  out->set_readonly(in.readonly);
  out->set_selinux_relabel(in.selinux_relabel);
  out->set_propagation(static_cast<v1::MountPropagation>(in.propagation));
  out->set_recursive_read_only(in.recursive_read_only);
  for (const auto& option : in.mount_options) out->add_mount_options(option);
  if (!in.image) return;
  EchoImage(*in.image, out->mutable_image());
  out->set_image_sub_path(in.image_sub_path);
  if (in.image->image_ref.empty()) out->mutable_image()->set_image_ref(digest_of(in.image->image));
}

}  // namespace

absl::StatusOr<runtime::ContainerConfig> ContainerConfigFrom(const v1::ContainerConfig& in) {
  if (!in.has_metadata() || in.metadata().name().empty()) {
    return absl::InvalidArgumentError("the container's config has no metadata with a name");
  }
  if (in.image().image().empty()) return absl::InvalidArgumentError("the container's config names no image");
  runtime::ContainerConfig out;
  out.metadata = {in.metadata().name(), in.metadata().attempt()};
  out.image = ImageFrom(in.image());
  out.command = VectorFrom(in.command());
  out.args = VectorFrom(in.args());
  out.working_dir = in.working_dir();
  for (const auto& env : in.envs()) {
    if (env.key().empty() || env.key().find('=') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("environment variable name '", env.key(), "' is empty or has '='"));
    }
    out.envs.push_back({env.key(), env.value()});
  }
  for (const auto& mount : in.mounts()) {
    BERTH_ASSIGN_OR_RETURN(auto converted, MountFrom(mount));
    out.mounts.push_back(std::move(converted));
  }
  for (const auto& device : in.devices()) {
    out.devices.push_back({device.container_path(), device.host_path(), device.permissions()});
  }
  out.labels = MapFrom(in.labels());
  out.annotations = MapFrom(in.annotations());
  out.log_path = in.log_path();
  out.stdin_open = in.stdin();
  out.stdin_once = in.stdin_once();
  out.tty = in.tty();
  for (const auto& device : in.cdi_devices()) out.cdi_devices.push_back(device.name());
  BERTH_ASSIGN_OR_RETURN(out.stop_signal, LinuxSignal(in.stop_signal()));
  BERTH_RETURN_IF_ERROR(LinuxFrom(in.linux(), &out));
  return out;
}

v1::Container ContainerItem(const runtime::ContainerStatus& container) {
  v1::Container item;
  EchoContainer(container, &item);
  item.set_pod_sandbox_id(container.pod_id);
  return item;
}

v1::ContainerStatus ContainerStatusMessage(const runtime::ContainerStatus& container,
                                           const std::function<std::string(const std::string&)>& digest_of) {
  v1::ContainerStatus status;
  EchoContainer(container, &status);
  status.set_started_at(container.started_at);
  if (container.exit) {
    status.set_finished_at(container.exit->finished_at);
    status.set_exit_code(container.exit->exit_code);
    status.set_reason(container.exit->reason);
    status.set_message(container.exit->message);
  }
  // kubelet finds the termination message's file among these.
  for (const auto& mount : container.config.mounts) EchoMount(mount, digest_of, status.add_mounts());
  status.set_log_path(container.log_path);
  EchoResources(container.config.resources, container.config.oom_score_adj,
                status.mutable_resources()->mutable_linux());
  if (container.user) {
    auto* user = status.mutable_user()->mutable_linux();
    user->set_uid(container.user->uid);
    user->set_gid(container.user->gid);
    for (const std::int64_t group : container.user->supplemental_groups) user->add_supplemental_groups(group);
  }
  status.set_stop_signal(CriSignal(container.stop_signal));
  return status;
}

}  // namespace berth::cri
