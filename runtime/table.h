// SPDX-License-Identifier: Apache-2.0
// All pods and containers that anybody may see, as immutable snapshots: look-ups copy one pointer and never
// wait for work.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/runtime.h"

namespace berth::runtime {

// Thread safe. A change is in the next Get() once its call returned (read-your-writes).
class Table {
 public:
  Table() : snapshot_(std::make_shared<Snapshot>()) {}
  std::shared_ptr<const Snapshot> Get() const;
  void Put(std::shared_ptr<const PodStatus> pod);
  void Put(std::shared_ptr<const ContainerStatus> container);
  void ErasePod(const std::string& id);
  void EraseContainer(const std::string& id);
  // By whole id or unambiguous prefix: NOT_FOUND, or INVALID_ARGUMENT with the candidates.
  absl::StatusOr<std::shared_ptr<const PodStatus>> FindPod(const std::string& id) const;
  absl::StatusOr<std::shared_ptr<const ContainerStatus>> FindContainer(const std::string& id) const;

 private:
  void Publish();  // with mutex_ held

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const PodStatus>> pods_;
  std::map<std::string, std::shared_ptr<const ContainerStatus>> containers_;
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace berth::runtime
