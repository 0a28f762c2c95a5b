// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace berth::store {

// The one thread that changes the database. What waits when it becomes free is committed together, each piece
// in a savepoint.
class Writer {
 public:
  // `on_commit` is called on the writer's thread with the number of pages in the write-ahead log.
  static absl::StatusOr<std::unique_ptr<Writer>> Start(Connection connection,
                                                       std::function<void(int)> on_commit);
  ~Writer();  // does what was accepted, then ends
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  absl::Status Write(std::function<absl::Status(Transaction&)> work, Durability durability);

 private:
  struct Item {
    std::function<absl::Status(Transaction&)> work;
    Durability durability = Durability::kNormal;
    absl::Status status;
    std::promise<absl::Status> done;
  };
  using Batch = std::vector<std::unique_ptr<Item>>;

  Writer(Connection connection, std::function<void(int)> on_commit);
  void Loop();
  void Run(Batch& batch);
  // Runs items [from, …) in one transaction; returns the first item that still has to be run.
  std::size_t RunTransaction(Batch& batch, std::size_t from);
  absl::Status RunInSavepoint(Item& item);
  bool InTransaction() const { return sqlite3_get_autocommit(connection_.get()) == 0; }
  absl::Status SetSynchronous(Durability durability);
  static int OnWal(void* self, sqlite3* db, const char* name, int pages);

  Connection connection_;  // before transaction_: its statements are finalized first
  std::unique_ptr<Transaction> transaction_;
  const std::function<void(int)> on_commit_;
  Durability synchronous_ = Durability::kNormal;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Item>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace berth::store
