// SPDX-License-Identifier: Apache-2.0
#include "runtime/table.h"

#include "absl/strings/str_cat.h"
#include "base/ids.h"

namespace berth::runtime {
namespace {

template <typename Map>
auto FindIn(const Map& map, const std::string& id, absl::string_view kind)
    -> absl::StatusOr<typename Map::mapped_type> {
  if (id.empty()) return absl::InvalidArgumentError(absl::StrCat("the ", kind, "'s id is empty"));
  auto at = map.lower_bound(id);
  if (at == map.end() || at->first.compare(0, id.size(), id) != 0) {
    return absl::NotFoundError(absl::StrCat("no ", kind, " '", id, "'"));
  }
  if (at->first == id) return at->second;
  const auto next = std::next(at);
  if (next != map.end() && next->first.compare(0, id.size(), id) == 0) {
    return absl::InvalidArgumentError(absl::StrCat("'", id, "' is ambiguous: ", base::ShortId(at->first),
                                                   ", ", base::ShortId(next->first), " and perhaps more ",
                                                   kind, "s; give more digits"));
  }
  return at->second;
}

}  // namespace

std::shared_ptr<const Snapshot> Table::Get() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

void Table::Put(std::shared_ptr<const PodStatus> pod) {
  const std::lock_guard lock(mutex_);
  pods_[pod->id] = std::move(pod);
  Publish();
}

void Table::Put(std::shared_ptr<const ContainerStatus> container) {
  const std::lock_guard lock(mutex_);
  containers_[container->id] = std::move(container);
  Publish();
}

void Table::ErasePod(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (pods_.erase(id) != 0) Publish();
}

void Table::EraseContainer(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (containers_.erase(id) != 0) Publish();
}

absl::StatusOr<std::shared_ptr<const PodStatus>> Table::FindPod(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return FindIn(pods_, id, "pod");
}

absl::StatusOr<std::shared_ptr<const ContainerStatus>> Table::FindContainer(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return FindIn(containers_, id, "container");
}

void Table::Publish() {
  auto next = std::make_shared<Snapshot>();
  next->pods.reserve(pods_.size());
  for (const auto& [id, pod] : pods_) next->pods.push_back(pod);
  next->containers.reserve(containers_.size());
  for (const auto& [id, container] : containers_) next->containers.push_back(container);
  snapshot_ = std::move(next);
}

}  // namespace berth::runtime
