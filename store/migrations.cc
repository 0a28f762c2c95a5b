// SPDX-License-Identifier: Apache-2.0
#include "store/migrations.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::store {
namespace {

absl::Status Sync(const std::string& path) {
  auto file = base::OpenAt(AT_FDCWD, path, O_RDONLY);
  if (!file) return base::ToStatus(file.error());
  if (::fsync(file->get()) != 0) return base::SyscallError(errno, absl::StrCat("fsync '", path, "'"));
  const auto slash = path.rfind('/');
  return base::ToStatus(base::FsyncDir(slash == std::string::npos ? "." : path.substr(0, slash)));
}

// A whole database, its log included, under a name that exists only when it is complete.
absl::Status BackUp(Connection& connection, const std::string& copy) {
  const std::string half = copy + ".half";
  if (::unlink(half.c_str()) != 0 && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("remove '", half, "'"));
  BERTH_ASSIGN_OR_RETURN(auto statement, Statement::Prepare(connection, "VACUUM INTO ?1"));
  statement.Bind(1, half);
  if (const int code = statement.Step(); code != SQLITE_DONE)
    return SqliteStatus(connection.get(), code, "copy the database before its migration");
  statement.Reset();
  if (::chmod(half.c_str(), 0600) != 0) return base::SyscallError(errno, absl::StrCat("chmod '", half, "'"));
  BERTH_RETURN_IF_ERROR(Sync(half));
  BERTH_FAULT_POINT("store.backed_up");
  if (::rename(half.c_str(), copy.c_str()) != 0)
    return base::SyscallError(errno, absl::StrCat("rename '", half, "' to '", copy, "'"));
  return Sync(copy);
}

absl::Status Step(Connection& connection, const Migration& migration) {
  BERTH_RETURN_IF_ERROR(connection.Exec(migration.sql));
  if (migration.compatible_with > 0) {
    BERTH_RETURN_IF_ERROR(
        connection.Exec(absl::StrCat("INSERT OR REPLACE INTO meta VALUES ('compatible_with', '",
                                     migration.compatible_with, "')")
                            .c_str()));
  }
  return connection.Exec(absl::StrCat("PRAGMA user_version=", migration.to).c_str());
}

}  // namespace

const std::vector<Migration>& Migrations() {
  static const std::vector<Migration> none;
  return none;
}

absl::Status Migrate(Connection& connection, std::int64_t from, const std::vector<Migration>& migrations) {
  if (migrations.empty() || from >= migrations.back().to) return absl::OkStatus();
  const std::int64_t to = migrations.back().to;
  const std::string copy = absl::StrCat(connection.path(), ".before-schema-", to);
  BERTH_RETURN_IF_ERROR(BackUp(connection, copy));
  BERTH_RETURN_IF_ERROR(connection.Exec("BEGIN IMMEDIATE"));
  absl::Status migrated;
  for (const auto& migration : migrations) {
    if (migrated.ok() && migration.to > from) migrated = Step(connection, migration);
  }
  BERTH_FAULT_POINT("store.migrate");
  if (migrated.ok()) migrated = connection.Exec("COMMIT");
  if (!migrated.ok()) {
    (void)connection.Exec("ROLLBACK");
    return base::Annotate(migrated, absl::StrCat("migrate '", connection.path(), "' from schema version ",
                                                 from, " to ", to, " (nothing was changed)"));
  }
  base::LogInfo("the database was migrated",
                {{"from", from}, {"to", to}, {"file", connection.path()}, {"copy of before", copy}});
  return absl::OkStatus();
}

}  // namespace berth::store
