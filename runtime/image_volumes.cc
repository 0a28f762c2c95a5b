// SPDX-License-Identifier: Apache-2.0
#include "runtime/image_volumes.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/status.h"
#include "image/tree.h"
#include "image/volume.h"
#include "runtime/oci/spec_parts.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {
namespace {

constexpr char kFailed[] = "ImageVolumeMountFailed: ";

std::string VolumesDir(const ContainerPlaces& places) { return places.record_dir + "/volumes"; }

absl::Status Failed(const Mount& mount, const absl::Status& why) {
  return absl::Status(why.code(), absl::StrCat(kFailed, "image '", mount.image->image, "' at '",
                                               mount.container_path, "': ", why.message()));
}

bool IsImage(const Mount& mount) { return mount.image && !mount.image->image.empty(); }

absl::StatusOr<std::string> MakeOne(image::Images& images, const std::string& id,
                                    const std::optional<image::IdShift>& shift, Mount& mount) {
  const auto image = images.Find(mount.image->image);
  if (image == nullptr) return absl::NotFoundError("it is not on this node; pull it first");
  BERTH_ASSIGN_OR_RETURN(const image::Rootfs rootfs, images.PrepareRootfs(id, image->id, shift));
  mount.image->image = image->id;      // by which kubelet knows what is in use
  mount.image->image_ref = image->id;  // what PullImage answered, by which a pod's status names it
  return image::ResolveInside(rootfs.path, mount.image_sub_path);
}

}  // namespace

std::vector<DeclaredVolume> DeclaredVolumes(const ContainerPlaces& places, const image::ImageConfig& image,
                                            const ContainerConfig& config) {
  std::set<std::string> paths;
  for (const std::string& volume : image.volumes) paths.insert(oci::CleanPath(volume));
  paths.erase("/");  // it would hide the image
  std::vector<DeclaredVolume> volumes;
  int number = 0;
  for (const std::string& path : paths) {
    const std::string source = absl::StrCat(VolumesDir(places), "/", number++);
    const bool taken = std::any_of(config.mounts.begin(), config.mounts.end(), [&](const Mount& mount) {
      const std::string place = oci::CleanPath(mount.container_path);
      return path == place || absl::StartsWith(path, place + "/");
    });
    if (!taken) volumes.push_back({path, source});
  }
  return volumes;
}

absl::Status MakeDeclaredVolumes(const std::vector<DeclaredVolume>& volumes, const std::string& rootfs,
                                 const PodConfig& pod) {
  for (const DeclaredVolume& volume : volumes) {
    BERTH_FAULT_POINT("runtime.declared_volume");
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(volume.source, 0755)));
    const absl::Status filled = image::FillVolume(rootfs, volume.path, volume.source);
    if (absl::IsNotFound(filled)) {
      BERTH_RETURN_IF_ERROR(GiveToPod(pod, volume.source));
    } else if (!filled.ok()) {
      return base::Annotate(filled, absl::StrCat("fill the image's volume '", volume.path, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status RemoveDeclaredVolumes(const ContainerPlaces& places) {
  BERTH_FAULT_POINT("runtime.declared_volume_remove");
  return image::RemoveDeepTree(VolumesDir(places));
}

std::string ImageVolumeId(const std::string& container_id, std::size_t index) {
  return absl::StrCat(container_id, absl::Hex(index, absl::kZeroPad4));
}

absl::StatusOr<std::vector<std::string>> MakeImageVolumes(image::Images& images,
                                                          const std::string& container_id,
                                                          const std::optional<image::IdShift>& shift,
                                                          ContainerConfig& config) {
  std::vector<std::string> sources;
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    Mount& mount = config.mounts[i];
    if (!IsImage(mount)) continue;
    BERTH_FAULT_POINT("runtime.image_volume");
    auto source = MakeOne(images, ImageVolumeId(container_id, i), shift, mount);
    if (!source.ok()) return Failed(mount, source.status());
    sources.resize(config.mounts.size());
    sources[i] = std::move(*source);
  }
  return sources;
}

absl::Status RemoveImageVolumes(image::Images& images, const std::string& container_id,
                                const ContainerConfig& config) {
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    if (IsImage(config.mounts[i])) BERTH_RETURN_IF_ERROR(images.RemoveRootfs(ImageVolumeId(container_id, i)));
  }
  return absl::OkStatus();
}

}  // namespace berth::runtime
