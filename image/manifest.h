// SPDX-License-Identifier: Apache-2.0
// Manifests and indexes, OCI's and Docker's (version 2, schema 2). Untrusted JSON, capped. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::image {

inline constexpr std::size_t kMaxManifestSize = 4 << 20;

struct Platform {
  std::string os, architecture, variant;
};

struct Descriptor {
  std::string media_type;
  std::string digest;  // checked
  std::uint64_t size = 0;
  std::optional<Platform> platform;
  std::map<std::string, std::string> annotations;
};

struct Manifest {
  // Either this is an index (or list) of other manifests …
  bool is_index = false;
  std::vector<Descriptor> manifests;
  // … or one image.
  Descriptor config;
  std::vector<Descriptor> layers;
};

// `media_type`: what the server said, "" when nobody did. FAILED_PRECONDITION with a sentence for what we do
// not run (schema 1, artifacts, encrypted or foreign layers).
absl::StatusOr<Manifest> ParseManifest(std::string_view json, std::string_view media_type);

// Names as registries use them ("amd64", "arm64"/"v8").
Platform HostPlatform();

// The entry of an index that fits best: same architecture, the closest variant that `host` can run.
absl::StatusOr<Descriptor> ChoosePlatform(const Manifest& index, const Platform& host);

// Those that ParseManifest takes, for the Accept header.
const std::vector<std::string>& ManifestMediaTypes();

}  // namespace berth::image
