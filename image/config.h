// SPDX-License-Identifier: Apache-2.0
// Image configs: untrusted JSON, types checked, counts and lengths capped. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "image/image.h"

namespace berth::image {

inline constexpr std::size_t kMaxConfigSize = 8 << 20;
inline constexpr std::size_t kMaxLayers = 500;  // overlayfs stacks that many (OVL_MAX_STACK)

struct ParsedConfig {
  ImageConfig config;
  std::vector<std::string> diff_ids;  // digests, checked
  std::string os, architecture, variant;
};

// FAILED_PRECONDITION: not a config that can be run, and why.
absl::StatusOr<ParsedConfig> ParseConfig(std::string_view json);

}  // namespace berth::image
