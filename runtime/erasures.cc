// SPDX-License-Identifier: Apache-2.0
#include "runtime/erasures.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"

namespace berth::runtime {
namespace {
constexpr std::int64_t kLongestGapNs = 60 * base::kSecondNs;

void LogLeft(const char* what, const std::string& id, const absl::Status& why) {
  base::LogError("could not delete the record of what was removed; it is tried again",
                 {{what, id}, {"error", why}});
}
}  // namespace

void Erasures::Pod(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    left_.pods.insert(id);
  }
  (void)Flush();
}

void Erasures::Container(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    left_.containers.insert(id);
  }
  (void)Flush();
}

bool Erasures::Flush() {
  Rows rows;
  {
    const std::lock_guard lock(mutex_);
    rows = left_;
  }
  if (rows.empty()) return true;
  if (Delete(rows).ok()) {
    Done(rows);
    return true;
  }
  // One of them may be the only one that cannot go. Containers first: a pod's row goes after theirs.
  bool all = true;
  const auto each = [&](const char* what, const std::string& id, const Rows& row) {
    if (const absl::Status deleted = Delete(row); deleted.ok()) {
      Done(row);
    } else {
      all = false;
      LogLeft(what, id, deleted);
    }
  };
  for (const auto& id : rows.containers) each("container", id, {{}, {id}});
  for (const auto& id : rows.pods) each("pod", id, {{id}, {}});
  if (!all) RetryLater();
  return all;
}

absl::Status Erasures::Delete(const Rows& rows) {
  // Rows that are gone already are success: two may flush the same.
  return store_->Write([&](store::Transaction& transaction) {
    for (const auto& id : rows.containers) BERTH_RETURN_IF_ERROR(transaction.DeleteContainer(id));
    for (const auto& id : rows.pods) BERTH_RETURN_IF_ERROR(transaction.DeletePod(id));
    return absl::OkStatus();
  });
}

void Erasures::Done(const Rows& rows) {
  const std::lock_guard lock(mutex_);
  for (const auto& id : rows.pods) left_.pods.erase(id);
  for (const auto& id : rows.containers) left_.containers.erase(id);
  gap_ns_ = kFirstGapNs;
}

void Erasures::RetryLater() {
  std::int64_t gap_ns = 0;
  {
    const std::lock_guard lock(mutex_);
    if (retry_due_) return;
    retry_due_ = true;
    gap_ns = gap_ns_;
    gap_ns_ = std::min(gap_ns_ * 2, kLongestGapNs);
  }
  timers_.After(gap_ns, [this] {
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
