// SPDX-License-Identifier: Apache-2.0
#include "store/checkpointer.h"

#include <utility>

#include "base/fault.h"
#include "base/log.h"

namespace berth::store {
namespace {

constexpr int kPages = 1000;  // 4 MiB

}  // namespace

Checkpointer::Checkpointer(Connection connection)
    : connection_(std::move(connection)), thread_([this] { Loop(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Checkpointer::LogHas(int pages) {
  if (pages < kPages) return;
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wake_.notify_one();
}

void Checkpointer::Loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || wanted_; });
      if (stopping_) return;
      wanted_ = false;
    }
    BERTH_FAULT_POINT("store.checkpoint");
    const int code =
        sqlite3_wal_checkpoint_v2(connection_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    // The next commit asks again; nothing is lost meanwhile, the log only grows.
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
      base::LogWarning("checkpoint of the database failed",
                       {{"status", SqliteStatus(connection_.get(), code, connection_.path())}});
    }
  }
}

}  // namespace berth::store
