// SPDX-License-Identifier: Apache-2.0
// Two kinds of volumes that images bring: the directories that the container's own image declares (VOLUME in
// its config), and images that the request mounts (Mount.image, "image volumes").
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/image.h"
#include "runtime/core.h"
#include "runtime/types.h"

namespace berth::runtime {

// A VOLUME of the image: a directory of this container alone, gone with it.
struct DeclaredVolume {
  std::string path;    // in the container, clean
  std::string source;  // <root>/pods/…/volumes/<n>
};
// Without those at or below a place where the request itself mounts something: what is written there shall
// land where the user wants it.
std::vector<DeclaredVolume> DeclaredVolumes(const ContainerPlaces& places, const image::ImageConfig& image,
                                            const ContainerConfig& config);
// Makes and fills them from the root file system.
absl::Status MakeDeclaredVolumes(const std::vector<DeclaredVolume>& volumes, const std::string& rootfs,
                                 const PodConfig& pod);
absl::Status RemoveDeclaredVolumes(const ContainerPlaces& places);

// Sources of the request's image volumes by the number of the mount; "" for others. Each gets a root file
// system of its own, named by ImageVolumeId. Errors begin with "ImageVolumeMountFailed", which kubelet
// counts. `config` learns the images' ids and digests, for the status.
absl::StatusOr<std::vector<std::string>> MakeImageVolumes(image::Images& images,
                                                          const std::string& container_id,
                                                          const std::optional<image::IdShift>& shift,
                                                          ContainerConfig& config);
absl::Status RemoveImageVolumes(image::Images& images, const std::string& container_id,
                                const ContainerConfig& config);
// The name under which image::Images knows the root file system of mount `index`: it begins with the
// container's id, so that fsck knows whose it is.
std::string ImageVolumeId(const std::string& container_id, std::size_t index);

}  // namespace berth::runtime
