// SPDX-License-Identifier: Apache-2.0
#include "store/reader.h"

#include "base/status.h"

namespace berth::store {

template <typename Row, typename MakeRow>
absl::StatusOr<std::vector<Row>> Reader::All(const char* sql, MakeRow make_row) {
  const std::lock_guard lock(mutex_);
  BERTH_ASSIGN_OR_RETURN(Statement statement, Statement::Prepare(connection_, sql));
  std::vector<Row> rows;
  for (;;) {
    const int code = statement.Step();
    if (code == SQLITE_DONE) return rows;
    if (code != SQLITE_ROW)
      return SqliteStatus(connection_.get(), code, "read database '" + connection_.path() + "'");
    rows.push_back(make_row(statement));
  }
}

absl::StatusOr<std::vector<PodRow>> Reader::Pods() {
  return All<PodRow>("SELECT id, name_key, created_at, record FROM pods ORDER BY created_at, id",
                     [](const Statement& s) {
                       return PodRow{s.Text(0), s.Text(1), s.Number(2), s.Text(3)};
                     });
}

absl::StatusOr<std::vector<ContainerRow>> Reader::Containers() {
  return All<ContainerRow>(
      "SELECT id, pod_id, name_key, created_at, record FROM containers ORDER BY created_at, id",
      [](const Statement& s) {
        return ContainerRow{s.Text(0), s.Text(1), s.Text(2), s.Number(3), s.Text(4)};
      });
}

absl::StatusOr<std::vector<ImageRow>> Reader::Images() {
  return All<ImageRow>("SELECT id, record FROM images ORDER BY id", [](const Statement& s) {
    return ImageRow{s.Text(0), s.Text(1)};
  });
}

absl::StatusOr<std::vector<ImageNameRow>> Reader::ImageNames() {
  return All<ImageNameRow>("SELECT name, image_id FROM image_names ORDER BY name", [](const Statement& s) {
    return ImageNameRow{s.Text(0), s.Text(1)};
  });
}

absl::StatusOr<std::vector<LayerRow>> Reader::Layers() {
  return All<LayerRow>("SELECT diff_id, record FROM layers ORDER BY diff_id", [](const Statement& s) {
    return LayerRow{s.Text(0), s.Text(1)};
  });
}

absl::StatusOr<std::vector<NetworkRow>> Reader::Networks() {
  return All<NetworkRow>("SELECT pod_id, record FROM networks ORDER BY pod_id", [](const Statement& s) {
    return NetworkRow{s.Text(0), s.Text(1)};
  });
}

absl::StatusOr<std::optional<NetworkRow>> Reader::Network(const std::string& pod_id) {
  const std::lock_guard lock(mutex_);
  BERTH_ASSIGN_OR_RETURN(
      Statement statement,
      Statement::Prepare(connection_, "SELECT pod_id, record FROM networks WHERE pod_id = ?1"));
  statement.Bind(1, pod_id);
  const int code = statement.Step();
  if (code == SQLITE_DONE) return std::nullopt;
  if (code != SQLITE_ROW)
    return SqliteStatus(connection_.get(), code, "read database '" + connection_.path() + "'");
  return NetworkRow{statement.Text(0), statement.Text(1)};
}

}  // namespace berth::store
