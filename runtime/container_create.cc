// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/bundle.h"
#include "runtime/image_volumes.h"
#include "runtime/managers.h"
#include "runtime/oci/devices.h"
#include "runtime/pod_cgroup.h"
#include "runtime/rebuild.h"
#include "runtime/security/relabel.h"
#include "runtime/security/users.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;
constexpr std::int64_t kForgetNs = 60 * base::kSecondNs;

absl::Status Check(const ContainerConfig& config) {
  if (config.metadata.name.empty()) return absl::InvalidArgumentError("config.metadata.name is missing");
  if (config.image.image.empty()) return absl::InvalidArgumentError("config.image.image is missing");
  // It becomes a path below the pod's log directory.
  if (config.log_path.find("..") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("log_path '", config.log_path, "' leaves the pod's log directory"));
  }
  return absl::OkStatus();
}

// kubectl's and kubelet's place of the log: never empty in a status (kubelet removes log_path + "*").
std::string LogPath(const PodConfig& pod, const ContainerConfig& config, const ContainerPlaces& places) {
  if (config.log_path.empty() || pod.log_directory.empty()) return places.record_dir + "/container.log";
  return absl::StrCat(pod.log_directory, "/", config.log_path);
}

std::string ImageRef(const image::ImageRecord& image) {
  return image.repo_digests.empty() ? image.id : image.repo_digests.front();
}

absl::StatusOr<int> StopSignal(const ContainerConfig& config, const image::ImageConfig& image) {
  if (config.stop_signal) return *config.stop_signal;
  if (image.stop_signal.empty()) return SIGTERM;
  const auto signal = base::ParseSignal(image.stop_signal);
  if (!signal)
    return absl::InvalidArgumentError(
        absl::StrCat("the image's STOPSIGNAL '", image.stop_signal, "' is no signal"));
  return *signal;
}

absl::Status Build(Core& core, Container& container, const image::ImageRecord& image, Progress& progress) {
  const ContainerPlaces& places = container.places();
  // A hung volume hangs here, and only this operation.
  BERTH_RETURN_IF_ERROR(oci::CheckMountSources(
      container.record().status.config,
      [&](const std::string& path) { progress.Enter(absl::StrCat("mount source ", path)); }));
  const PodConfig pod = container.pod()->record().status.config;
  BERTH_RETURN_IF_ERROR(CheckMountMappings(pod, container.record().status.config));
  progress.Enter("directories");
  BERTH_FAULT_POINT("runtime.container_dirs");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(places.record_dir)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(places.state)));
  Describe(core.options, container.record());
  progress.Enter("root file system");
  BERTH_FAULT_POINT("runtime.rootfs");
  BERTH_ASSIGN_OR_RETURN(
      const image::Rootfs rootfs,
      core.options.images->PrepareRootfs(container.id(), image.id, ShiftOf(pod, container.pod()->places())));
  progress.Enter("volumes of images");
  ContainerConfig asked = container.record().status.config;
  BERTH_RETURN_IF_ERROR(MakeDeclaredVolumes(DeclaredVolumes(places, image.config, asked), rootfs.path, pod));
  BERTH_ASSIGN_OR_RETURN(auto sources, MakeImageVolumes(*core.options.images, container.id(),
                                                        ShiftOf(pod, container.pod()->places()), asked));
  if (!sources.empty()) {
    BERTH_RETURN_IF_ERROR(container.Change([&](ContainerRecord& record) {
      record.status.config = asked;
      record.mount_sources = sources;
    }));
  }
  if (core.host_facts.selinux && asked.selinux) {
    progress.Enter("relabel");
    const std::string label = security::FileLabel(security::ProcessLabel(*asked.selinux));
    for (const Mount& mount : asked.mounts) {
      if (!mount.selinux_relabel || mount.host_path.empty()) continue;
      BERTH_RETURN_IF_ERROR(
          security::Relabel(mount.host_path, label, [&] { return !container.pod()->ready(); }));
    }
  }
  progress.Enter("user");
  BERTH_ASSIGN_OR_RETURN(const base::UniqueFd root,
                         base::ToStatusOr(base::OpenAt(AT_FDCWD, rootfs.path, O_PATH | O_DIRECTORY)));
  const ContainerConfig config = container.record().status.config;
  BERTH_ASSIGN_OR_RETURN(const ResolvedUser user, security::ResolveUser(root.get(), config, image.config));
  BERTH_RETURN_IF_ERROR(container.Change([&](ContainerRecord& record) { record.status.user = user; }));
  progress.Enter("bundle");
  BERTH_RETURN_IF_ERROR(WriteBundle(core, container, rootfs.path));
  progress.Enter("pod limits");
  BERTH_RETURN_IF_ERROR(UpdatePodLimitsWith(*container.pod(), container.id(), config.resources));
  progress.Enter("record");
  BERTH_FAULT_POINT("runtime.container_created");
  BERTH_RETURN_IF_ERROR(container.Change([](ContainerRecord& record) {
    record.stage = ContainerStage::kCreated;
    record.status.state = ContainerState::kCreated;
  }));
  Describe(core.options, container.record());
  return absl::OkStatus();
}

absl::StatusOr<std::string> Make(Core& core, const std::shared_ptr<Pod>& pod, const ContainerConfig& config,
                                 Progress& progress) {
  const PodRecord pod_record = pod->record();
  if (!pod->ready())
    return absl::FailedPreconditionError(absl::StrCat("pod '", pod->id(), "' was stopped meanwhile"));
  progress.Enter("image");
  const auto image = core.options.images->Find(config.image.image);
  if (image == nullptr)
    return absl::NotFoundError(
        absl::StrCat("image '", config.image.image, "' is not on this node; pull it first"));
  ContainerRecord record;
  ContainerStatus& status = record.status;
  status.id = base::NewId();
  status.pod_id = pod->id();
  status.created_at = base::RealtimeNs();
  status.config = config;
  status.image_id = image->id;
  status.image_ref = ImageRef(*image);
  status.log_path =
      LogPath(pod_record.status.config, config, ContainerPlaces(core.options, pod->id(), status.id));
  BERTH_ASSIGN_OR_RETURN(status.stop_signal, StopSignal(config, image->config));
  status.cgroup =
      absl::StrCat(pod_record.status.cgroup == "/" ? "" : pod_record.status.cgroup, "/", status.id);
  record.boot_id = base::BootId();

  progress.Enter("record");
  const auto insert = [&] {
    return core.options.store->Write([&](store::Transaction& transaction) {
      return transaction.InsertContainer({status.id, pod->id(), ContainerNameKey(pod->id(), config.metadata),
                                          status.created_at, Encode(record)});
    });
  };
  absl::Status inserted = insert();
  // The name may be that of one which is gone but for its row.
  if (absl::IsAlreadyExists(inserted) && core.erasures.Flush()) inserted = insert();
  if (!inserted.ok()) return inserted;
  BERTH_FAULT_POINT("runtime.container_recorded");
  const auto container = std::make_shared<Container>(core, pod, record);
  // A removal of the pod must not take away what is being made here, or what comes later stays for ever.
  const auto activity = container->activity().Begin("create", base::Deadline::Never());
  pod->Add(container);
  core.Add(container);
  absl::Status built = Build(core, *container, *image, progress);
  // The pod may have been stopped meanwhile: then nobody will start or remove this container.
  if (built.ok() && !pod->ready())
    built = absl::FailedPreconditionError(absl::StrCat("pod '", pod->id(), "' was stopped meanwhile"));
  if (!built.ok()) {
    progress.Enter("undo");
    if (auto discarded = DiscardContainer(core, *container); !discarded.ok()) {
      base::LogError("could not undo a container", {{"container", container->id()}, {"error", discarded}});
      container->Show();  // its name is still taken: who sees it can remove it
    }
    return built;
  }
  return container->id();
}

}  // namespace

absl::StatusOr<std::string> CreateContainer(Core& core, const std::shared_ptr<Pod>& pod,
                                            const ContainerConfig& config, const Caller& caller) {
  BERTH_RETURN_IF_ERROR(Check(config));
  if (!pod->ready()) {
    const std::string why = pod->status()->message;
    return absl::FailedPreconditionError(
        absl::StrCat("pod '", pod->id(), "' is not ready", why.empty() ? "" : ": ", why));
  }
  Operation operation;
  operation.what = absl::StrCat("creating container '", config.metadata.name, "'");
  operation.work = [&core, pod, config](Progress& progress) { return Make(core, pod, config, progress); };
  operation.claim = [&core](const std::string& id) {
    if (const auto container = core.FindContainer(id); container != nullptr) container->Show();
  };
  operation.roll_back = [&core](const std::string& id) {
    const auto container = core.FindContainer(id);
    if (container == nullptr) return;
    Progress progress("rolling back");
    if (auto discarded = RemoveContainerNow(core, *container, progress); !discarded.ok()) {
      base::LogError("could not roll an unclaimed container back", {{"container", id}, {"error", discarded}});
    }
  };
  return core.operations.Run("container/" + ContainerNameKey(pod->id(), config.metadata),
                             std::move(operation), caller);
}

absl::Status DiscardContainer(Core& core, Container& container) {
  const std::string id = container.id();
  const std::shared_ptr<Pod> pod = container.pod();
  container.Intend([](ContainerRecord& record) { record.stage = ContainerStage::kRemoving; });
  // The monitor lets go of a container only when the OCI runtime has deleted it: until then both write in its
  // directory.
  if (const auto monitor = pod->ConnectedMonitor(); monitor != nullptr) {
    const auto forgotten = monitor->Forget(id, base::Deadline::After(kForgetNs));
    if (!forgotten.ok() && !absl::IsNotFound(forgotten) && !absl::IsUnavailable(forgotten)) return forgotten;
  }
  // Normally gone with the exit; a crash may have left it.
  // Unknown where neither the container's record nor its pod's could be read.
  if (const std::string path = container.record().status.cgroup; !path.empty()) {
    BERTH_ASSIGN_OR_RETURN(auto cgroup, base::ToStatusOr(core.options.cgroups->At(path)));
    BERTH_FAULT_POINT("runtime.container_cgroup_remove");
    BERTH_RETURN_IF_ERROR(base::ToStatus(cgroup->KillAll(base::Deadline::After(kQuickNs))));
    BERTH_RETURN_IF_ERROR(base::ToStatus(cgroup->Remove()));
  }
  UnmountMapped(container.places());
  BERTH_FAULT_POINT("runtime.rootfs_remove");
  BERTH_RETURN_IF_ERROR(core.options.images->RemoveRootfs(id));
  BERTH_RETURN_IF_ERROR(RemoveImageVolumes(*core.options.images, id, container.record().status.config));
  BERTH_RETURN_IF_ERROR(RemoveDeclaredVolumes(container.places()));
  BERTH_FAULT_POINT("runtime.container_files_erase");
  BERTH_RETURN_IF_ERROR(UnpinTarget(TargetPin(container.places())));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::RemoveTree(container.places().state)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::RemoveTree(container.places().record_dir)));
  BERTH_FAULT_POINT("runtime.container_record_erase");
  core.erasures.Container(id);
  pod->Erase(id);
  core.EraseContainer(id);
  container.Hide();
  UpdatePodLimits(*pod);
  return absl::OkStatus();
}

}  // namespace berth::runtime
