// SPDX-License-Identifier: Apache-2.0
#include "store/writer.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/status.h"
#include "store/transaction.h"

namespace berth::store {
namespace {

// More than this in one transaction makes the first of them wait for the last.
constexpr std::size_t kMaxBatch = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<Writer>> Writer::Start(Connection connection,
                                                      std::function<void(int)> on_commit) {
  std::unique_ptr<Writer> writer(new Writer(std::move(connection), std::move(on_commit)));
  BERTH_ASSIGN_OR_RETURN(writer->transaction_, MakeTransaction(writer->connection_));
  sqlite3_wal_hook(writer->connection_.get(), &Writer::OnWal, writer.get());
  writer->thread_ = std::thread([raw = writer.get()] { raw->Loop(); });
  return writer;
}

Writer::Writer(Connection connection, std::function<void(int)> on_commit)
    : connection_(std::move(connection)), on_commit_(std::move(on_commit)) {}

Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

int Writer::OnWal(void* self, sqlite3*, const char*, int pages) {
  static_cast<Writer*>(self)->on_commit_(pages);
  return SQLITE_OK;
}

absl::Status Writer::Write(std::function<absl::Status(Transaction&)> work, Durability durability) {
  if (std::this_thread::get_id() == thread_.get_id()) {
    return absl::FailedPreconditionError("a write was begun within a write of the database");
  }
  auto item = std::make_unique<Item>();
  item->work = std::move(work);
  item->durability = durability;
  auto done = item->done.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return absl::UnavailableError("the database is being closed");
    queue_.push_back(std::move(item));
  }
  wake_.notify_one();
  return done.get();
}

void Writer::Loop() {
  for (;;) {
    Batch batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      while (!queue_.empty() && batch.size() < kMaxBatch) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    Run(batch);
    for (auto& item : batch) item->done.set_value(std::move(item->status));
  }
}

void Writer::Run(Batch& batch) {
  Durability durability = Durability::kNormal;
  for (const auto& item : batch) {
    if (item->durability == Durability::kFull) durability = Durability::kFull;
  }
  if (const absl::Status set = SetSynchronous(durability); !set.ok()) {
    for (auto& item : batch) item->status = set;
    return;
  }
  for (std::size_t next = 0; next < batch.size();) next = RunTransaction(batch, next);
}

std::size_t Writer::RunTransaction(Batch& batch, std::size_t from) {
  BERTH_FAULT_POINT("store.begin");
  const auto fail = [&](std::size_t to, const absl::Status& status) {
    for (std::size_t i = from; i < to; ++i) {
      if (batch[i]->status.ok()) batch[i]->status = status;
    }
  };
  if (const absl::Status begun = connection_.Exec("BEGIN IMMEDIATE"); !begun.ok()) {
    fail(batch.size(), begun);
    return batch.size();
  }
  for (std::size_t i = from; i < batch.size(); ++i) {
    batch[i]->status = RunInSavepoint(*batch[i]);
    if (!InTransaction()) {
      // A full disk, an I/O error or a want of memory makes SQLite roll back everything
      // (lang_transaction.html, "response to errors"): those before are undone as well and are told so, those
      // after get a transaction of their own.
      fail(i + 1, base::Annotate(batch[i]->status, "another change in the same transaction failed"));
      return i + 1;
    }
  }
  BERTH_FAULT_POINT("store.commit");
  if (const absl::Status committed = connection_.Exec("COMMIT"); !committed.ok()) {
    if (InTransaction()) (void)connection_.Exec("ROLLBACK");
    fail(batch.size(), committed);
  }
  BERTH_FAULT_POINT("store.committed");
  return batch.size();
}

absl::Status Writer::RunInSavepoint(Item& item) {
  BERTH_RETURN_IF_ERROR(connection_.Exec("SAVEPOINT item"));
  absl::Status status;
  try {
    status = item.work(*transaction_);
  } catch (const std::exception& error) {
    status = absl::InternalError(absl::StrCat("a change of the database threw: ", error.what()));
  }
  item.work = nullptr;  // what it holds goes before the caller is told
  if (!InTransaction())
    return status.ok() ? absl::InternalError("SQLite rolled the transaction back") : status;
  if (!status.ok()) {
    if (const absl::Status undone = connection_.Exec("ROLLBACK TO item"); !undone.ok()) {
      // Without its savepoint undone this work would be committed half: nobody's may be.
      (void)connection_.Exec("ROLLBACK");
      return status;
    }
  }
  const absl::Status released = connection_.Exec("RELEASE item");
  return status.ok() ? released : status;
}

absl::Status Writer::SetSynchronous(Durability durability) {
  if (durability == synchronous_) return absl::OkStatus();
  // In WAL mode FULL syncs the log at each commit, and with it all earlier commits; NORMAL at checkpoints
  // only.
  BERTH_RETURN_IF_ERROR(connection_.Exec(durability == Durability::kFull ? "PRAGMA synchronous=FULL"
                                                                         : "PRAGMA synchronous=NORMAL"));
  synchronous_ = durability;
  return absl::OkStatus();
}

}  // namespace berth::store
