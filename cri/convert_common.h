// SPDX-License-Identifier: Apache-2.0
// Shapes that pods and containers share, between protobuf and runtime/types.h. Pure. Enum numbers that CRI
// does not have are INVALID_ARGUMENT: proto3 lets them through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/cri/v1/api.pb.h"
#include "runtime/types.h"

namespace berth::cri {

namespace v1 = ::runtime::v1;

// The repeated field or map as our container.
template <typename Repeated>
auto VectorFrom(const Repeated& repeated) {
  return std::vector<typename Repeated::value_type>(repeated.begin(), repeated.end());
}
template <typename Map>
runtime::StringMap MapFrom(const Map& map) {
  return runtime::StringMap(map.begin(), map.end());
}

// Refuses user namespaces in modes CONTAINER and TARGET, with other than one mapping each, without id 0, or
// with different mappings of users and groups (kubelet never sends those; the kernel would take them).
absl::StatusOr<runtime::NamespaceOptions> NamespacesFrom(const v1::NamespaceOption& options);
void EchoNamespaces(const runtime::NamespaceOptions& options, v1::NamespaceOption* out);

template <typename Repeated>
std::vector<runtime::IdMapping> MappingsFrom(const Repeated& mappings) {
  std::vector<runtime::IdMapping> out;
  for (const auto& mapping : mappings)
    out.push_back({mapping.host_id(), mapping.container_id(), mapping.length()});
  return out;
}

runtime::SelinuxOptions SelinuxFrom(const v1::SELinuxOption& options);
absl::StatusOr<runtime::SecurityProfile> ProfileFrom(const char* what, const v1::SecurityProfile& profile);
// The string form that CRI had before the messages: "", "unconfined", "runtime/default", "localhost/<ref>".
// "" → nullopt.
absl::StatusOr<std::optional<runtime::SecurityProfile>> OldProfileFrom(const char* what,
                                                                       const std::string& text);

// An id of a user or group: 0 to 2^32-2 (2^32-1 means "nobody at all" to the kernel).
absl::StatusOr<std::optional<std::int64_t>> IdFrom(const char* field, bool present,
                                                   const v1::Int64Value& value);
absl::StatusOr<std::vector<std::int64_t>> GroupsFrom(
    const google::protobuf::RepeatedField<std::int64_t>& groups);

}  // namespace berth::cri
