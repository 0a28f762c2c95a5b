// SPDX-License-Identifier: Apache-2.0
// JSON of every struct in runtime/types.h and cgroupfs/resources.h: the form in which records lie in the
// database. Rules that let versions live beside each other: absent and null fields keep what the value had,
// unknown fields are ignored, empty ones are not written, enums are written as CRI's numbers. Text that is
// not UTF-8 (environment values are bytes) is written as
// {"base64": "…"}. Thread safe.
// from_json throws nlohmann::json::exception for a field of the wrong type or range; Decode turns that into a
// status.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cgroupfs/resources.h"
#include "runtime/types.h"

namespace berth::cgroupfs {
void to_json(nlohmann::json& json, const HugepageLimit& value);
void from_json(const nlohmann::json& json, HugepageLimit& value);
void to_json(nlohmann::json& json, const Resources& value);
void from_json(const nlohmann::json& json, Resources& value);
}  // namespace berth::cgroupfs

namespace berth::runtime {

#define BERTH_DECLARE_CODEC(T)                        \
  void to_json(nlohmann::json& json, const T& value); \
  void from_json(const nlohmann::json& json, T& value)
BERTH_DECLARE_CODEC(IdMapping);
BERTH_DECLARE_CODEC(NamespaceOptions);
BERTH_DECLARE_CODEC(SecurityProfile);
BERTH_DECLARE_CODEC(SelinuxOptions);
BERTH_DECLARE_CODEC(PodMetadata);
BERTH_DECLARE_CODEC(DnsConfig);
BERTH_DECLARE_CODEC(PortMapping);
BERTH_DECLARE_CODEC(PodConfig);
BERTH_DECLARE_CODEC(ImageSpec);
BERTH_DECLARE_CODEC(Mount);
BERTH_DECLARE_CODEC(Device);
BERTH_DECLARE_CODEC(EnvVar);
BERTH_DECLARE_CODEC(ContainerMetadata);
BERTH_DECLARE_CODEC(ContainerConfig);
BERTH_DECLARE_CODEC(ResolvedUser);
BERTH_DECLARE_CODEC(PodStatus);
BERTH_DECLARE_CODEC(ContainerExit);
BERTH_DECLARE_CODEC(ContainerStatus);
#undef BERTH_DECLARE_CODEC

// A record as one line of text, and back. DATA_LOSS for text that is no such record.
template <typename T>
std::string Encode(const T& value) {
  return nlohmann::json(value).dump();
}
template <typename T>
absl::StatusOr<T> Decode(std::string_view text) {
  try {
    return nlohmann::json::parse(text).get<T>();
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(std::string("malformed record: ") + error.what());
  }
}

}  // namespace berth::runtime
