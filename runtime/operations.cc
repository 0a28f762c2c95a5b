// SPDX-License-Identifier: Apache-2.0
#include "runtime/operations.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::runtime {
namespace {
// The reply has to reach the client before its own deadline ends the call, or the stage is never seen.
constexpr std::int64_t kReplyMarginNs = 150 * base::kMillisecondNs;

std::string Seconds(std::int64_t ns) { return absl::StrCat(ns / base::kSecondNs, " s"); }

Operation MakesNothing(std::string what, std::function<absl::Status(Progress&)> work) {
  Operation operation;
  operation.what = std::move(what);
  operation.work = [work = std::move(work)](Progress& progress) -> absl::StatusOr<std::string> {
    BERTH_RETURN_IF_ERROR(work(progress));
    return std::string();
  };
  return operation;
}
}  // namespace

void Progress::Enter(std::string stage) {
  const std::lock_guard lock(mutex_);
  stage_ = std::move(stage);
  waits_for_.clear();
  since_ns_ = base::MonotonicNs();
}

void Progress::WaitsFor(std::string what) {
  const std::lock_guard lock(mutex_);
  waits_for_ = std::move(what);
}

std::string Progress::Describe() const {
  const std::lock_guard lock(mutex_);
  const std::int64_t now = base::MonotonicNs();
  return absl::StrCat(what_, ": ", Seconds(now - begun_ns_), ", of these ", Seconds(now - since_ns_),
                      " in stage '", stage_, "'",
                      waits_for_.empty() ? "" : absl::StrCat(" (waits for ", waits_for_, ")"));
}

Operations::Operations(base::Executor& executor, Timers& timers, std::int64_t unclaimed_life_ns)
    : executor_(executor), timers_(timers), unclaimed_life_ns_(unclaimed_life_ns) {}

absl::StatusOr<std::string> Operations::Run(const std::string& key, Operation operation,
                                            const Caller& caller) {
  std::unique_lock lock(mutex_);
  auto& slot = table_[key];
  std::shared_ptr<Running> running = slot;
  if (running == nullptr) {
    running = slot = std::make_shared<Running>(std::move(operation));
    const absl::Status accepted = executor_.TrySubmit(
        [this, key, running] { Finish(key, running, running->operation.work(running->progress)); });
    if (!accepted.ok()) {
      table_.erase(key);
      return accepted;
    }
  }
  return Join(key, running, caller, lock);
}

absl::Status Operations::Do(const std::string& key, std::string what,
                            std::function<absl::Status(Progress&)> work, const Caller& caller) {
  return Run(key, MakesNothing(std::move(what), std::move(work)), caller).status();
}

absl::Status Operations::DoHere(const std::string& key, std::string what,
                                std::function<absl::Status(Progress&)> work) {
  std::unique_lock lock(mutex_);
  auto& slot = table_[key];
  if (slot != nullptr) return Join(key, std::shared_ptr<Running>(slot), Caller{}, lock).status();
  const std::shared_ptr<Running> running = slot =
      std::make_shared<Running>(MakesNothing(std::move(what), std::move(work)));
  lock.unlock();
  absl::StatusOr<std::string> result = running->operation.work(running->progress);
  absl::Status status = result.status();
  Finish(key, running, std::move(result));
  return status;
}

void Operations::Announce(const std::string& key, std::string what,
                          std::function<absl::Status(Progress&)> work) {
  const std::lock_guard lock(mutex_);
  table_[key] = std::make_shared<Running>(MakesNothing(std::move(what), std::move(work)));
}

void Operations::Begin(const std::string& key, std::function<void()> done) {
  const std::lock_guard lock(mutex_);
  const auto entry = table_.find(key);
  if (entry == table_.end()) return;
  executor_.Submit([this, key, running = entry->second, done = std::move(done)] {
    Finish(key, running, running->operation.work(running->progress));
    if (done) done();
  });
}

absl::Status Operations::Wait(const std::string& key, const Caller& caller) {
  std::unique_lock lock(mutex_);
  const auto entry = table_.find(key);
  if (entry == table_.end() || entry->second->done) return absl::OkStatus();
  const std::shared_ptr<Running> running = entry->second;
  const absl::Status ended = Join(key, running, caller, lock).status();
  lock.lock();
  return running->done ? absl::OkStatus() : ended;
}

void Operations::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

absl::StatusOr<std::string> Operations::Join(const std::string& key, const std::shared_ptr<Running>& running,
                                             const Caller& caller, std::unique_lock<std::mutex>& lock) {
  ++running->waiters;
  int handle = 0;
  if (caller.cancellation != nullptr) {
    lock.unlock();
    handle = caller.cancellation->Subscribe([this] {
      const std::lock_guard wake(mutex_);
      changed_.notify_all();
    });
    lock.lock();
  }
  const auto left = [&] { return caller.cancellation != nullptr && caller.cancellation->cancelled(); };
  const auto deadline_near = [&] {
    return !caller.deadline.never() && base::MonotonicNs() >= caller.deadline.at_ns() - kReplyMarginNs;
  };
  while (!running->done && !closed_ && !left() && !deadline_near()) {
    if (caller.deadline.never()) {
      changed_.wait(lock);
    } else {
      const std::int64_t wait_ns = caller.deadline.at_ns() - kReplyMarginNs - base::MonotonicNs();
      changed_.wait_for(lock, std::chrono::nanoseconds(std::max<std::int64_t>(wait_ns, 0)));
    }
  }
  --running->waiters;
  absl::StatusOr<std::string> result = running->result;
  if (running->done) {
    // The first who takes the result ends the entry; others who waited have their own reference to it.
    const auto entry = table_.find(key);
    if (entry != table_.end() && entry->second == running) {
      if (!result.ok() || !left()) {
        table_.erase(entry);
        if (result.ok() && running->operation.claim) running->operation.claim(*result);
      } else {
        // Done at the moment its caller left: nobody has the id.
        if (running->waiters == 0)
          timers_.After(unclaimed_life_ns_, [this, key, running] { Expire(key, running); });
        result = absl::CancelledError("the caller left as it was done; a retry takes the result");
      }
    }
  } else {
    const std::string text = absl::StrCat(running->progress.Describe(), "; it goes on, a retry joins it");
    result = closed_  ? absl::UnavailableError(absl::StrCat(running->progress.Describe(),
                                                            "; berthd is stopping, the next one takes it up"))
             : left() ? absl::CancelledError(text)
                      : absl::DeadlineExceededError(text);
  }
  lock.unlock();
  if (handle != 0) caller.cancellation->Unsubscribe(handle);
  return result;
}

void Operations::Finish(const std::string& key, const std::shared_ptr<Running>& running,
                        absl::StatusOr<std::string> result) {
  const std::lock_guard lock(mutex_);
  running->result = std::move(result);
  running->done = true;
  if (!running->result.ok() || !running->operation.roll_back) {
    // Nothing was made: the next attempt starts anew.
    const auto entry = table_.find(key);
    if (entry != table_.end() && entry->second == running) table_.erase(entry);
  } else if (running->waiters == 0) {
    timers_.After(unclaimed_life_ns_, [this, key, running] { Expire(key, running); });
  }
  changed_.notify_all();
}

void Operations::Expire(const std::string& key, const std::shared_ptr<Running>& running) {
  {
    const std::lock_guard lock(mutex_);
    const auto entry = table_.find(key);
    if (entry == table_.end() || entry->second != running) return;
    if (running->waiters > 0) return;  // a retry is about to take it
    table_.erase(entry);
  }
  executor_.Submit([running] { running->operation.roll_back(*running->result); });
}

void Operations::RollBackUnclaimed(const std::function<bool(const std::string& key)>& wanted) {
  std::vector<std::shared_ptr<Running>> unclaimed;
  {
    const std::lock_guard lock(mutex_);
    for (auto entry = table_.begin(); entry != table_.end();) {
      const auto& running = entry->second;
      if (running->done && running->waiters == 0 && running->operation.roll_back && wanted(entry->first)) {
        unclaimed.push_back(running);
        entry = table_.erase(entry);
      } else {
        ++entry;
      }
    }
  }
  for (const auto& running : unclaimed) running->operation.roll_back(*running->result);
}

}  // namespace berth::runtime
