// SPDX-License-Identifier: Apache-2.0
// Records of pods and containers that are no more. Deleting a row needs a little room in the database's log,
// and on a full disk there may be none: removal goes on all the same, and the row is deleted when it can be.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/executor.h"
#include "runtime/timers.h"
#include "store/store.h"

namespace berth::runtime {

// Thread safe. Outlived by the store, the executor and the timers.
class Erasures {
 public:
  Erasures(base::Executor& executor, Timers& timers) : executor_(executor), timers_(timers) {}
  void Use(store::Store* store) { store_ = store; }  // before the rest

  // The row is gone when these return, or is tried again after 5 s, 10 s, … one minute (the log says so); one
  // that cannot be deleted keeps no other. After a crash before that the record is found without its files,
  // and removed then.
  void Pod(const std::string& id);
  void Container(const std::string& id);
  // Tries now what is left, e.g. because a name is wanted again. True when nothing is.
  bool Flush();

 private:
  static constexpr std::int64_t kFirstGapNs = 5 * base::kSecondNs;
  struct Rows {
    std::set<std::string> pods, containers;
    bool empty() const { return pods.empty() && containers.empty(); }
  };
  absl::Status Delete(const Rows& rows);  // all of them or none
  void Done(const Rows& rows);
  void RetryLater();

  base::Executor& executor_;
  Timers& timers_;
  store::Store* store_ = nullptr;
  std::mutex mutex_;
  Rows left_;
  bool retry_due_ = false;
  std::int64_t gap_ns_ = kFirstGapNs;
};

}  // namespace berth::runtime
