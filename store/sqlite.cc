// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::store {
namespace {

constexpr int kBusyTimeoutMs = 5000;

}  // namespace

absl::Status SqliteStatus(sqlite3* db, int code, std::string_view what) {
  const char* said = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  const std::string text =
      absl::StrCat(absl::string_view(what.data(), what.size()), ": ", said, " (sqlite ", code, ")");
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(text, "; free space on that disk"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat(text, "; does another program hold it?"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(text);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (const int err = db == nullptr ? 0 : sqlite3_system_errno(db); err != 0)
        return base::SyscallError(err, text);
      return absl::InternalError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<Connection> Connection::Open(const std::string& path) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Connection connection;
  connection.db_.reset(db);
  connection.path_ = path;
  if (code != SQLITE_OK) return SqliteStatus(db, code, "open database '" + path + "'");
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  return connection;
}

absl::Status Connection::Exec(const char* sql) {
  const int code = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return absl::OkStatus();
  return SqliteStatus(db_.get(), sqlite3_extended_errcode(db_.get()), "database '" + path_ + "'");
}

absl::StatusOr<std::int64_t> Connection::QueryNumber(const char* sql) {
  BERTH_ASSIGN_OR_RETURN(Statement statement, Statement::Prepare(*this, sql));
  const int code = statement.Step();
  if (code == SQLITE_ROW) return statement.Number(0);
  if (code == SQLITE_DONE) return absl::NotFoundError("no row");
  return SqliteStatus(db_.get(), code, "database '" + path_ + "'");
}

absl::StatusOr<std::string> Connection::QueryText(const char* sql) {
  BERTH_ASSIGN_OR_RETURN(Statement statement, Statement::Prepare(*this, sql));
  const int code = statement.Step();
  if (code == SQLITE_ROW) return statement.Text(0);
  if (code == SQLITE_DONE) return absl::NotFoundError("no row");
  return SqliteStatus(db_.get(), code, "database '" + path_ + "'");
}

absl::StatusOr<Statement> Statement::Prepare(Connection& connection, const char* sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(connection.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) return SqliteStatus(connection.get(), code, "database '" + connection.path() + "'");
  Statement statement;
  statement.statement_.reset(raw);
  return statement;
}

void Statement::Bind(int index, std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void Statement::Bind(int index, std::int64_t number) { sqlite3_bind_int64(statement_.get(), index, number); }

int Statement::Step() { return sqlite3_step(statement_.get()); }

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return "";
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::int64_t Statement::Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

}  // namespace berth::store
