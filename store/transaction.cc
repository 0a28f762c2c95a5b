// SPDX-License-Identifier: Apache-2.0
#include "store/transaction.h"

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace berth::store {
namespace {

class SqliteTransaction final : public Transaction {
 public:
  explicit SqliteTransaction(Connection& connection) : connection_(connection) {}

  absl::Status Prepare() {
    const std::initializer_list<std::pair<Statement*, const char*>> all = {
        {&insert_pod_, "INSERT INTO pods(id, name_key, created_at, record) VALUES (?1, ?2, ?3, ?4)"},
        {&update_pod_, "UPDATE pods SET record = ?2 WHERE id = ?1"},
        {&delete_pod_, "DELETE FROM pods WHERE id = ?1"},
        {&find_pod_, "SELECT id FROM pods WHERE id = ?1 OR name_key = ?2 ORDER BY id = ?1 DESC LIMIT 1"},
        {&insert_container_,
         "INSERT INTO containers(id, pod_id, name_key, created_at, record) VALUES (?1, ?2, ?3, ?4, ?5)"},
        {&update_container_, "UPDATE containers SET record = ?2 WHERE id = ?1"},
        {&delete_container_, "DELETE FROM containers WHERE id = ?1"},
        {&find_container_,
         "SELECT id FROM containers WHERE id = ?1 OR name_key = ?2 ORDER BY id = ?1 DESC LIMIT 1"},
        {&containers_of_pod_, "SELECT id FROM containers WHERE pod_id = ?1 ORDER BY created_at, id LIMIT 5"},
        {&put_image_,
         "INSERT INTO images(id, record) VALUES (?1, ?2) ON CONFLICT(id) DO UPDATE SET record = "
         "excluded.record"},
        {&delete_image_, "DELETE FROM images WHERE id = ?1"},
        {&delete_names_of_image_, "DELETE FROM image_names WHERE image_id = ?1"},
        {&put_name_,
         "INSERT INTO image_names(name, image_id) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET image_id = "
         "excluded.image_id"},
        {&delete_name_, "DELETE FROM image_names WHERE name = ?1"},
        {&put_layer_,
         "INSERT INTO layers(diff_id, record) VALUES (?1, ?2) ON CONFLICT(diff_id) DO UPDATE SET record = "
         "excluded.record"},
        {&delete_layer_, "DELETE FROM layers WHERE diff_id = ?1"},
        {&put_network_,
         "INSERT INTO networks(pod_id, record) VALUES (?1, ?2) ON CONFLICT(pod_id) DO UPDATE SET record = "
         "excluded.record"},
        {&delete_network_, "DELETE FROM networks WHERE pod_id = ?1"},
    };
    for (const auto& [statement, sql] : all) {
      BERTH_ASSIGN_OR_RETURN(*statement, Statement::Prepare(connection_, sql));
    }
    return absl::OkStatus();
  }

  absl::Status InsertPod(const PodRow& row) override {
    ResetGuard reset(insert_pod_);
    insert_pod_.Bind(1, row.id);
    insert_pod_.Bind(2, row.name_key);
    insert_pod_.Bind(3, row.created_at);
    insert_pod_.Bind(4, row.record);
    const int code = insert_pod_.Step();
    if (IsTaken(code)) return Taken("pod", find_pod_, row.id, row.name_key);
    return Done(code, "insert pod", row.id);
  }
  absl::Status UpdatePod(const std::string& id, const std::string& record) override {
    return Update(update_pod_, "pod", id, record);
  }
  absl::Status DeletePod(const std::string& id) override {
    ResetGuard reset(delete_pod_);
    delete_pod_.Bind(1, id);
    const int code = delete_pod_.Step();
    if (code == SQLITE_CONSTRAINT_FOREIGNKEY) {
      return absl::FailedPreconditionError(
          absl::StrCat("pod '", id, "' still has containers: ", ContainersOf(id)));
    }
    return Done(code, "delete pod", id);
  }

  absl::Status InsertContainer(const ContainerRow& row) override {
    ResetGuard reset(insert_container_);
    insert_container_.Bind(1, row.id);
    insert_container_.Bind(2, row.pod_id);
    insert_container_.Bind(3, row.name_key);
    insert_container_.Bind(4, row.created_at);
    insert_container_.Bind(5, row.record);
    const int code = insert_container_.Step();
    if (IsTaken(code)) return Taken("container", find_container_, row.id, row.name_key);
    if (code == SQLITE_CONSTRAINT_FOREIGNKEY) {
      return absl::FailedPreconditionError(
          absl::StrCat("container '", row.id, "' belongs to pod '", row.pod_id, "', which has no record"));
    }
    return Done(code, "insert container", row.id);
  }
  absl::Status UpdateContainer(const std::string& id, const std::string& record) override {
    return Update(update_container_, "container", id, record);
  }
  absl::Status DeleteContainer(const std::string& id) override {
    return Delete(delete_container_, "container", id);
  }

  absl::Status PutImage(const ImageRow& row) override { return Put(put_image_, "image", row.id, row.record); }
  absl::Status DeleteImage(const std::string& id) override {
    BERTH_RETURN_IF_ERROR(Delete(delete_names_of_image_, "names of image", id));
    return Delete(delete_image_, "image", id);
  }
  absl::Status PutImageName(const ImageNameRow& row) override {
    return Put(put_name_, "image name", row.name, row.image_id);
  }
  absl::Status DeleteImageName(const std::string& name) override {
    return Delete(delete_name_, "image name", name);
  }
  absl::Status PutLayer(const LayerRow& row) override {
    return Put(put_layer_, "layer", row.diff_id, row.record);
  }
  absl::Status DeleteLayer(const std::string& diff_id) override {
    return Delete(delete_layer_, "layer", diff_id);
  }
  absl::Status PutNetwork(const NetworkRow& row) override {
    return Put(put_network_, "network of pod", row.pod_id, row.record);
  }
  absl::Status DeleteNetwork(const std::string& pod_id) override {
    return Delete(delete_network_, "network of pod", pod_id);
  }

 private:
  static bool IsTaken(int code) {
    return code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_UNIQUE;
  }

  absl::Status Done(int code, absl::string_view what, absl::string_view key) {
    if (code == SQLITE_DONE) return absl::OkStatus();
    return SqliteStatus(connection_.get(), code,
                        absl::StrCat(what, " '", key, "' in database '", connection_.path(), "'"));
  }

  // Names who holds the id or the name.
  absl::Status Taken(absl::string_view kind, Statement& find, const std::string& id,
                     const std::string& name_key) {
    ResetGuard reset(find);
    find.Bind(1, id);
    find.Bind(2, name_key);
    const std::string holder = find.Step() == SQLITE_ROW ? find.Text(0) : "";
    if (holder == id) return absl::AlreadyExistsError(absl::StrCat(kind, " id '", id, "' is taken"));
    return absl::AlreadyExistsError(
        absl::StrCat(kind, " name '", name_key, "' is taken by ", kind, " '", holder, "'"));
  }

  std::string ContainersOf(const std::string& pod_id) {
    ResetGuard reset(containers_of_pod_);
    containers_of_pod_.Bind(1, pod_id);
    std::vector<std::string> ids;
    while (containers_of_pod_.Step() == SQLITE_ROW) ids.push_back("'" + containers_of_pod_.Text(0) + "'");
    return absl::StrJoin(ids, ", ");
  }

  absl::Status Update(Statement& statement, absl::string_view kind, const std::string& id,
                      const std::string& record) {
    ResetGuard reset(statement);
    statement.Bind(1, id);
    statement.Bind(2, record);
    BERTH_RETURN_IF_ERROR(Done(statement.Step(), absl::StrCat("update ", kind), id));
    if (sqlite3_changes(connection_.get()) == 0)
      return absl::NotFoundError(absl::StrCat(kind, " '", id, "' has no record"));
    return absl::OkStatus();
  }

  absl::Status Put(Statement& statement, absl::string_view kind, const std::string& key,
                   const std::string& value) {
    ResetGuard reset(statement);
    statement.Bind(1, key);
    statement.Bind(2, value);
    const int code = statement.Step();
    if (code == SQLITE_CONSTRAINT_FOREIGNKEY) {
      return absl::FailedPreconditionError(
          absl::StrCat(kind, " '", key, "' belongs to '", value, "', which has no record"));
    }
    return Done(code, absl::StrCat("put ", kind), key);
  }

  absl::Status Delete(Statement& statement, absl::string_view kind, const std::string& key) {
    ResetGuard reset(statement);
    statement.Bind(1, key);
    return Done(statement.Step(), absl::StrCat("delete ", kind), key);
  }

  Connection& connection_;
  Statement insert_pod_, update_pod_, delete_pod_, find_pod_;
  Statement insert_container_, update_container_, delete_container_, find_container_, containers_of_pod_;
  Statement put_image_, delete_image_, delete_names_of_image_, put_name_, delete_name_;
  Statement put_layer_, delete_layer_, put_network_, delete_network_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transaction>> MakeTransaction(Connection& connection) {
  auto transaction = std::make_unique<SqliteTransaction>(connection);
  BERTH_RETURN_IF_ERROR(transaction->Prepare());
  return std::unique_ptr<Transaction>(std::move(transaction));
}

}  // namespace berth::store
