// SPDX-License-Identifier: Apache-2.0
// The pieces that BuildSpec (spec.h) is made of; each is pure and tested by itself. Errors as BuildSpec's.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/oci/spec.h"
#include "runtime/security/capabilities.h"

namespace berth::runtime::oci {

// Capability sets of the container, by what the host has to give.
absl::StatusOr<security::CapabilitySets> Capabilities(const SpecInput& input);

// process.env: PATH, image, HOSTNAME, request; then TERM and HOME where nobody set them. The last of a key
// wins and keeps the first's place.
absl::StatusOr<std::vector<std::string>> Environment(const SpecInput& input);
// process.cwd: request, image, "/".
absl::StatusOr<std::string> WorkingDir(const SpecInput& input);
absl::StatusOr<nlohmann::json> Process(const SpecInput& input, const security::CapabilitySets& capabilities);

// Lexically cleaned absolute path inside the container: "a//b/../c" → "/a/c"; never above "/".
std::string CleanPath(const std::string& path);
struct Mounts {
  nlohmann::json list;             // the specification's `mounts`, in the order in which they are made
  std::string rootfs_propagation;  // "" = the runtime's default
};
absl::StatusOr<Mounts> BuildMounts(const SpecInput& input);

absl::StatusOr<nlohmann::json> Namespaces(const SpecInput& input);
absl::StatusOr<nlohmann::json> Resources(const SpecInput& input);
nlohmann::json Devices(const SpecInput& input);
// null: no filter.
absl::StatusOr<nlohmann::json> Seccomp(const SpecInput& input, const security::CapabilitySets& capabilities);
nlohmann::json Mappings(const std::vector<IdMapping>& mappings);

}  // namespace berth::runtime::oci
