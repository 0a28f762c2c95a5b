// SPDX-License-Identifier: Apache-2.0
// What the list calls and their streamed forms share.
#pragma once

#include <memory>
#include <vector>

#include "cri/filters.h"
#include "runtime/runtime.h"

namespace berth::cri {

inline auto PodsMatching(const runtime::Runtime& runtime, const ::runtime::v1::PodSandboxFilter& filter) {
  std::vector<std::shared_ptr<const runtime::PodStatus>> found;
  for (const auto snapshot = runtime.snapshot(); const auto& pod : snapshot->pods) {
    if (Matches(filter, *pod)) found.push_back(pod);
  }
  return found;
}

inline auto ContainersMatching(const runtime::Runtime& runtime,
                               const ::runtime::v1::ContainerFilter& filter) {
  std::vector<std::shared_ptr<const runtime::ContainerStatus>> found;
  for (const auto snapshot = runtime.snapshot(); const auto& container : snapshot->containers) {
    if (Matches(filter, *container)) found.push_back(container);
  }
  return found;
}

inline auto StatsMatching(const runtime::Runtime& runtime,
                          const ::runtime::v1::ContainerStatsFilter& filter) {
  return runtime.AllStats(
      [&](const runtime::ContainerStatus& container) { return Matches(filter, container); });
}

// Far below the 16 MiB of a message even with every annotation at kubelet's limit of 256 KiB each.
inline constexpr std::size_t kItemsPerChunk = 50;

// `items` as messages of at most kItemsPerChunk; none for none, as the contract wants an empty list streamed.
template <typename Reply, typename Item, typename Add>
std::vector<Reply> Chunks(const std::vector<Item>& items, Add add) {
  std::vector<Reply> chunks;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i % kItemsPerChunk == 0) chunks.emplace_back();
    add(items[i], &chunks.back());
  }
  return chunks;
}

}  // namespace berth::cri
