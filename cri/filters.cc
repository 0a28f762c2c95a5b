// SPDX-License-Identifier: Apache-2.0
#include "cri/filters.h"

#include "absl/strings/match.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;

bool IdMatches(const std::string& wanted, const std::string& id) { return absl::StartsWith(id, wanted); }

template <typename Selector>
bool LabelsMatch(const Selector& selector, const runtime::StringMap& labels) {
  for (const auto& [key, value] : selector) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace

bool Matches(const v1::PodSandboxFilter& filter, const runtime::PodStatus& pod) {
  if (!IdMatches(filter.id(), pod.id)) return false;
  if (filter.has_state() && static_cast<int>(filter.state().state()) != static_cast<int>(pod.state))
    return false;
  return LabelsMatch(filter.label_selector(), pod.config.labels);
}

bool Matches(const v1::ContainerFilter& filter, const runtime::ContainerStatus& container) {
  if (!IdMatches(filter.id(), container.id) || !IdMatches(filter.pod_sandbox_id(), container.pod_id))
    return false;
  if (filter.has_state() && static_cast<int>(filter.state().state()) != static_cast<int>(container.state))
    return false;
  return LabelsMatch(filter.label_selector(), container.config.labels);
}

bool Matches(const v1::ContainerStatsFilter& filter, const runtime::ContainerStatus& container) {
  return IdMatches(filter.id(), container.id) && IdMatches(filter.pod_sandbox_id(), container.pod_id) &&
         LabelsMatch(filter.label_selector(), container.config.labels);
}

}  // namespace berth::cri
