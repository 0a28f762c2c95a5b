// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace berth::network {

// A Kubernetes resource quantity ("10M", "1.5Gi", "2e6", "500k"), rounded up to a whole number. Negative,
// malformed and larger than int64 are INVALID_ARGUMENT.
absl::StatusOr<std::int64_t> ParseQuantity(std::string_view text);

}  // namespace berth::network
