// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace berth::store {

// Whole tables on a connection of its own. Thread safe; a read sees every commit that ended before it began
// and waits for no writer.
class Reader {
 public:
  explicit Reader(Connection connection) : connection_(std::move(connection)) {}
  absl::StatusOr<std::vector<PodRow>> Pods();
  absl::StatusOr<std::vector<ContainerRow>> Containers();
  absl::StatusOr<std::vector<ImageRow>> Images();
  absl::StatusOr<std::vector<ImageNameRow>> ImageNames();
  absl::StatusOr<std::vector<LayerRow>> Layers();
  absl::StatusOr<std::vector<NetworkRow>> Networks();
  absl::StatusOr<std::optional<NetworkRow>> Network(const std::string& pod_id);

 private:
  template <typename Row, typename MakeRow>
  absl::StatusOr<std::vector<Row>> All(const char* sql, MakeRow make_row);

  std::mutex mutex_;
  Connection connection_;
};

}  // namespace berth::store
