// SPDX-License-Identifier: Apache-2.0
#include "runtime/erasures.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::runtime {
namespace {
constexpr std::int64_t kGapNs = 5 * base::kSecondNs;
}  // namespace

void Erasures::Pod(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    pods_.insert(id);
  }
  (void)Flush();
}

void Erasures::Container(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    containers_.insert(id);
  }
  (void)Flush();
}

bool Erasures::Flush() {
  std::set<std::string> pods, containers;
  {
    const std::lock_guard lock(mutex_);
    pods = pods_;
    containers = containers_;
  }
  if (pods.empty() && containers.empty()) return true;
  // Rows that are gone already are success: two may flush the same.
  const absl::Status erased = store_->Write([&](store::Transaction& transaction) {
    for (const auto& id : containers) BERTH_RETURN_IF_ERROR(transaction.DeleteContainer(id));
    for (const auto& id : pods) {
      // One that still has containers would hold all others up; it is found and finished at the next start.
      if (auto deleted = transaction.DeletePod(id); !deleted.ok() && !absl::IsFailedPrecondition(deleted))
        return deleted;
    }
    return absl::OkStatus();
  });
  if (!erased.ok()) {
    base::LogError("could not delete the records of what was removed; it is tried again",
                   {{"error", erased}});
    RetryLater();
    return false;
  }
  const std::lock_guard lock(mutex_);
  for (const auto& id : pods) pods_.erase(id);
  for (const auto& id : containers) containers_.erase(id);
  return true;
}

void Erasures::RetryLater() {
  {
    const std::lock_guard lock(mutex_);
    if (retry_due_) return;
    retry_due_ = true;
  }
  timers_.After(kGapNs, [this] {
    executor_.Submit([this] {
      {
        const std::lock_guard lock(mutex_);
        retry_due_ = false;
      }
      (void)Flush();
    });
  });
}

}  // namespace berth::runtime
