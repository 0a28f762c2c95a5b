// SPDX-License-Identifier: Apache-2.0
// Read-only views beyond the status: statistics, and what `berth explain` tells.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/runtime.h"
#include "runtime/table.h"

namespace berth::runtime {

// FAILED_PRECONDITION when the container does not run, NOT_FOUND never: it was found by the caller.
absl::StatusOr<ContainerStatsView> ReadStats(const Options& options,
                                             const std::shared_ptr<const ContainerStatus>& container);
absl::StatusOr<Explanation> Explain(const Options& options, const Table& table, const std::string& id);
// The last lines of a file, at most `lines`, reading at most 64 KiB from its end.
std::vector<std::string> LastLines(const std::string& path, std::size_t lines);

}  // namespace berth::runtime
