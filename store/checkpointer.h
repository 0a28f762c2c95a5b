// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "store/sqlite.h"

namespace berth::store {

// Moves pages from the write-ahead log into the database on a thread and connection of its own (PASSIVE: it
// never makes a writer or reader wait), so that no commit pays for its fsyncs.
class Checkpointer {
 public:
  explicit Checkpointer(Connection connection);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Told after each commit; starts a checkpoint when there is enough to move. Thread safe, never waits.
  void LogHas(int pages);

 private:
  void Loop();

  Connection connection_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace berth::store
