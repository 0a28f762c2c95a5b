// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "store/checkpointer.h"
#include "store/quarantine.h"
#include "store/reader.h"
#include "store/schema.h"
#include "store/sqlite.h"
#include "store/writer.h"

namespace berth::store {
namespace {

class SqliteStore final : public Store {
 public:
  // Members end in reverse order: the writer first, then the checkpointer that it wakes.
  SqliteStore(std::string quarantined, Connection reader, Connection checkpoints)
      : quarantined_(std::move(quarantined)),
        reader_(std::move(reader)),
        checkpointer_(std::move(checkpoints)) {}

  absl::Status StartWriter(Connection connection) {
    BERTH_ASSIGN_OR_RETURN(
        writer_, Writer::Start(std::move(connection), [this](int pages) { checkpointer_.LogHas(pages); }));
    return absl::OkStatus();
  }

  absl::Status Write(std::function<absl::Status(Transaction&)> work, Durability durability) override {
    return writer_->Write(std::move(work), durability);
  }
  absl::StatusOr<std::vector<PodRow>> Pods() override { return reader_.Pods(); }
  absl::StatusOr<std::vector<ContainerRow>> Containers() override { return reader_.Containers(); }
  absl::StatusOr<std::vector<ImageRow>> Images() override { return reader_.Images(); }
  absl::StatusOr<std::vector<ImageNameRow>> ImageNames() override { return reader_.ImageNames(); }
  absl::StatusOr<std::vector<LayerRow>> Layers() override { return reader_.Layers(); }
  absl::StatusOr<std::vector<NetworkRow>> Networks() override { return reader_.Networks(); }
  absl::StatusOr<std::optional<NetworkRow>> Network(const std::string& pod_id) override {
    return reader_.Network(pod_id);
  }
  std::string quarantined() const override { return quarantined_; }

 private:
  const std::string quarantined_;
  Reader reader_;
  Checkpointer checkpointer_;
  std::unique_ptr<Writer> writer_;
};

// A connection to a file that was looked through: its pages are sound and its schema is one we can use.
// DATA_LOSS otherwise.
absl::StatusOr<Connection> OpenChecked(const std::string& path) {
  BERTH_RETURN_IF_ERROR(PrepareFile(path));
  BERTH_ASSIGN_OR_RETURN(Connection connection, Connection::Open(path));
  BERTH_RETURN_IF_ERROR(CheckOwner(connection));
  BERTH_ASSIGN_OR_RETURN(const std::string verdict, connection.QueryText("PRAGMA quick_check(1)"));
  if (verdict != "ok") return absl::DataLossError(absl::StrCat("database '", path, "' is broken: ", verdict));
  BERTH_RETURN_IF_ERROR(Configure(connection));
  BERTH_RETURN_IF_ERROR(EnsureSchema(connection));
  return connection;
}

absl::StatusOr<Connection> OpenAnother(const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(Connection connection, Connection::Open(path));
  BERTH_RETURN_IF_ERROR(Configure(connection));
  return connection;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  std::string quarantined;
  auto connection = OpenChecked(path);
  if (absl::IsDataLoss(connection.status())) {
    base::LogError("the database cannot be used and is moved aside", {{"status", connection.status()}});
    BERTH_ASSIGN_OR_RETURN(quarantined, MoveAside(path));
    connection = OpenChecked(path);
  }
  if (!connection.ok()) return connection.status();
  BERTH_ASSIGN_OR_RETURN(Connection reader, OpenAnother(path));
  BERTH_ASSIGN_OR_RETURN(Connection checkpoints, OpenAnother(path));
  auto store =
      std::make_unique<SqliteStore>(std::move(quarantined), std::move(reader), std::move(checkpoints));
  BERTH_RETURN_IF_ERROR(store->StartWriter(*std::move(connection)));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace berth::store
