// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"
#include "runtime/fsck/host.h"

namespace berth::runtime::fsck {

absl::StatusOr<Records> ReadRecords(store::Store& store) {
  Records records;
  BERTH_ASSIGN_OR_RETURN(const auto pods, store.Pods());
  for (const auto& row : pods) {
    auto decoded = DecodePod(row.record);
    PodEntry& entry = records.pods[row.id];
    if (decoded.ok() && decoded->status.id == row.id)
      entry.record = *std::move(decoded);
    else
      entry.why = decoded.ok() ? "it is another pod's" : std::string(decoded.status().message());
  }
  BERTH_ASSIGN_OR_RETURN(const auto containers, store.Containers());
  for (const auto& row : containers) {
    auto decoded = DecodeContainer(row.record);
    ContainerEntry& entry = records.containers[row.id];
    entry.pod_id = row.pod_id;
    if (decoded.ok() && decoded->status.id == row.id)
      entry.record = *std::move(decoded);
    else
      entry.why = decoded.ok() ? "it is another container's" : std::string(decoded.status().message());
  }
  BERTH_ASSIGN_OR_RETURN(const auto networks, store.Networks());
  for (const auto& row : networks) records.attachments.insert(row.pod_id);
  BERTH_ASSIGN_OR_RETURN(const auto images, store.Images());
  for (const auto& row : images) records.images.insert(row.id);
  BERTH_ASSIGN_OR_RETURN(const auto layers, store.Layers());
  for (const auto& row : layers) records.layers.insert(row.diff_id);
  return records;
}

}  // namespace berth::runtime::fsck
