// SPDX-License-Identifier: Apache-2.0
// SQLite's handles with owners, its result codes as statuses. A Connection and its Statements belong to one
// thread at a time.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::store {

// What SQLite said, with the file named. A full disk is RESOURCE_EXHAUSTED, a locked file UNAVAILABLE, a
// broken one DATA_LOSS; failed system calls carry their errno (base/status.h).
absl::Status SqliteStatus(sqlite3* db, int code, std::string_view what);

class Connection {
 public:
  // Opens for reading and writing, makes an empty file when there is none. Waits up to 5 s for other users'
  // locks.
  static absl::StatusOr<Connection> Open(const std::string& path);
  Connection() = default;

  sqlite3* get() const { return db_.get(); }
  const std::string& path() const { return path_; }
  // Statements without parameters and without results of interest.
  absl::Status Exec(const char* sql);
  absl::StatusOr<std::int64_t> QueryNumber(const char* sql);
  absl::StatusOr<std::string> QueryText(const char* sql);

 private:
  struct Closer {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::unique_ptr<sqlite3, Closer> db_;
  std::string path_;
};

// A prepared statement that is reset after each use. Must not outlive its Connection.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(Connection& connection, const char* sql);
  Statement() = default;

  // Parameters from 1 on. The text must live until the next Reset: it is not copied.
  void Bind(int index, std::string_view text);
  void Bind(int index, std::int64_t number);
  // SQLITE_ROW, SQLITE_DONE or an error's extended code.
  int Step();
  void Reset();
  // Columns from 0 on.
  std::string Text(int column) const;
  std::int64_t Number(int column) const;

 private:
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
};

// Resets on leaving the scope, so that no read transaction stays open.
class ResetGuard {
 public:
  explicit ResetGuard(Statement& statement) : statement_(statement) {}
  ~ResetGuard() { statement_.Reset(); }
  ResetGuard(const ResetGuard&) = delete;
  ResetGuard& operator=(const ResetGuard&) = delete;

 private:
  Statement& statement_;
};

}  // namespace berth::store
