// SPDX-License-Identifier: Apache-2.0
// Joinable operations (design.md, rule 4): work on a pod or a container runs on its own thread under a key;
// every caller with that key waits for the same work. A caller may leave, with the stage and its age; the
// work goes on, and what it made waits for a retry.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/executor.h"
#include "runtime/runtime.h"
#include "runtime/timers.h"

namespace berth::runtime {

// What running work says of itself. Thread safe.
class Progress {
 public:
  explicit Progress(std::string what)
      : what_(std::move(what)), begun_ns_(base::MonotonicNs()), since_ns_(begun_ns_) {}
  // Names the stage just entered, e.g. "network ADD".
  void Enter(std::string stage);
  // What the present stage waits for, e.g. "pid 812 in state D"; "" for nothing that is known.
  void WaitsFor(std::string what);
  // "creating the pod: 131 s, of these 130 s in stage 'network ADD' (waits for ...)"
  std::string Describe() const;

 private:
  mutable std::mutex mutex_;
  const std::string what_;
  const std::int64_t begun_ns_;
  std::string stage_ = "begin";
  std::string waits_for_;
  std::int64_t since_ns_;
};

// Work that yields the id of what it made.
struct Operation {
  std::string what;  // "creating the pod"
  std::function<absl::StatusOr<std::string>(Progress&)> work;
  // Unset where nothing is made: such a result is forgotten when nobody waits for it.
  std::function<void(const std::string& id)> claim;      // somebody has the id: show the object
  std::function<void(const std::string& id)> roll_back;  // nobody came for it
};

// Thread safe. Outlived by the executor and the timers.
class Operations {
 public:
  Operations(base::Executor& executor, Timers& timers, std::int64_t unclaimed_life_ns);
  // Joins the work under `key`, or starts `operation`. DEADLINE_EXCEEDED/CANCELLED with the stage when the
  // caller leaves first.
  absl::StatusOr<std::string> Run(const std::string& key, Operation operation, const Caller& caller);
  // The same for work that makes nothing: a stop, a removal, a start.
  absl::Status Do(const std::string& key, std::string what, std::function<absl::Status(Progress&)> work,
                  const Caller& caller);
  // The same on this thread, which is one of the executor's already: it never waits for a further one. Waits
  // for as long as the work takes.
  absl::Status DoHere(const std::string& key, std::string what, std::function<absl::Status(Progress&)> work);
  // Work that is going to be done: from now on Wait waits for it. Begin hands it over; `done` (may be empty)
  // is called at its end.
  void Announce(const std::string& key, std::string what, std::function<absl::Status(Progress&)> work);
  void Begin(const std::string& key, std::function<void()> done);
  // Returns once nothing is under way under `key`, however that ended; DEADLINE_EXCEEDED/CANCELLED with the
  // stage when the caller leaves first.
  absl::Status Wait(const std::string& key, const Caller& caller);
  // Nobody waits any more, now or later: UNAVAILABLE. The work itself is left to the executor.
  void Close();
  // Rolls back, now, what is finished and unclaimed under keys for which `wanted` is true.
  void RollBackUnclaimed(const std::function<bool(const std::string& key)>& wanted);

 private:
  struct Running {
    explicit Running(Operation op) : operation(std::move(op)), progress(operation.what) {}
    Operation operation;
    Progress progress;
    int waiters = 0;
    bool done = false;
    absl::StatusOr<std::string> result = absl::UnknownError("running");
  };
  // Releases `lock`.
  absl::StatusOr<std::string> Join(const std::string& key, const std::shared_ptr<Running>& running,
                                   const Caller& caller, std::unique_lock<std::mutex>& lock);
  void Finish(const std::string& key, const std::shared_ptr<Running>& running,
              absl::StatusOr<std::string> result);
  void Expire(const std::string& key, const std::shared_ptr<Running>& running);

  base::Executor& executor_;
  Timers& timers_;
  const std::int64_t unclaimed_life_ns_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Running>> table_;
  bool closed_ = false;
};

}  // namespace berth::runtime
