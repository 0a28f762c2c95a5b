// SPDX-License-Identifier: Apache-2.0
#include "store/schema.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/status.h"

namespace berth::store {
namespace {

// One transaction: after a crash there is all of it or nothing. Frozen; what changes is appended as the next
// version.
constexpr char kVersion1[] = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES ('compatible_with', '1');
CREATE TABLE pods (
  id TEXT PRIMARY KEY NOT NULL,
  name_key TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE TABLE containers (
  id TEXT PRIMARY KEY NOT NULL,
  pod_id TEXT NOT NULL REFERENCES pods(id),
  name_key TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT;
CREATE INDEX containers_by_pod ON containers(pod_id);
CREATE TABLE images (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL) STRICT;
CREATE TABLE image_names (
  name TEXT PRIMARY KEY NOT NULL,
  image_id TEXT NOT NULL REFERENCES images(id)
) STRICT;
CREATE INDEX image_names_by_image ON image_names(image_id);
CREATE TABLE layers (diff_id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL) STRICT;
CREATE TABLE networks (pod_id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL) STRICT;
)sql";

absl::Status CreateTables(Connection& connection) {
  BERTH_RETURN_IF_ERROR(connection.Exec("BEGIN IMMEDIATE"));
  absl::Status created = connection.Exec(kVersion1);
  if (created.ok()) created = connection.Exec(absl::StrCat("PRAGMA application_id=", kApplicationId).c_str());
  if (created.ok())
    created = connection.Exec(absl::StrCat("PRAGMA user_version=", kFirstSchemaVersion).c_str());
  BERTH_FAULT_POINT("store.schema");
  if (created.ok()) created = connection.Exec("COMMIT");
  if (!created.ok()) (void)connection.Exec("ROLLBACK");
  return created;
}

// The oldest schema version whose readers and writers can use this file. Migrations that only add leave it
// alone, so that a berthd can be rolled back (design: additive for two releases).
std::int64_t CompatibleWith(Connection& connection, std::int64_t version) {
  const auto text = connection.QueryText("SELECT value FROM meta WHERE key = 'compatible_with'");
  std::int64_t oldest = 0;
  return text.ok() && absl::SimpleAtoi(*text, &oldest) && oldest > 0 ? oldest : version;
}

}  // namespace

absl::Status CheckOwner(Connection& connection) {
  BERTH_ASSIGN_OR_RETURN(const std::int64_t tables,
                         connection.QueryNumber("SELECT count(*) FROM sqlite_schema"));
  BERTH_ASSIGN_OR_RETURN(const std::int64_t version, connection.QueryNumber("PRAGMA user_version"));
  BERTH_ASSIGN_OR_RETURN(const std::int64_t application, connection.QueryNumber("PRAGMA application_id"));
  const bool empty = tables == 0 && version == 0 && application == 0;
  if (empty || (application == kApplicationId && version >= 1)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("'", connection.path(), "' is a database, but not one of berth's"));
}

absl::Status Configure(Connection& connection) {
  BERTH_ASSIGN_OR_RETURN(const std::string mode, connection.QueryText("PRAGMA journal_mode=WAL"));
  if (mode != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat("database '", connection.path(), "' cannot use a write-ahead log (it stays in mode '",
                     mode, "'): is its file system a network's? Put berth's root on a local disk"));
  }
  for (const char* pragma :
       {"PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON", "PRAGMA wal_autocheckpoint=0",
        "PRAGMA journal_size_limit=4194304", "PRAGMA cache_size=-1024", "PRAGMA temp_store=MEMORY"}) {
    BERTH_RETURN_IF_ERROR(connection.Exec(pragma));
  }
  return absl::OkStatus();
}

absl::Status EnsureSchema(Connection& connection, const std::vector<Migration>& migrations) {
  const std::int64_t newest = migrations.empty() ? kFirstSchemaVersion : migrations.back().to;
  BERTH_ASSIGN_OR_RETURN(std::int64_t version, connection.QueryNumber("PRAGMA user_version"));
  if (version == 0) {
    BERTH_RETURN_IF_ERROR(CreateTables(connection));
    version = kFirstSchemaVersion;
  }
  if (version < newest) return Migrate(connection, version, migrations);
  if (version == newest) return absl::OkStatus();
  const std::int64_t oldest = CompatibleWith(connection, version);
  if (oldest <= newest) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("database '", connection.path(), "' has schema version ",
                                                    version, ", which needs a berthd that knows version ",
                                                    oldest, "; this one (", BERTH_VERSION, ") knows version ",
                                                    newest,
                                                    ": start the newer berthd again, put the copy of before "
                                                    "its migration (",
                                                    connection.path(), ".before-schema-", version,
                                                    ", if there is one) in its place and lose what came "
                                                    "since, or move the file away: records are made anew "
                                                    "from what is on disk"));
}

}  // namespace berth::store
