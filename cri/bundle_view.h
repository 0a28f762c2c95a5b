// SPDX-License-Identifier: Apache-2.0
// A look into a container's bundle, for people: what the OCI runtime was told. Absent once the container is
// removed, and after a reboot (it lies on tmpfs).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/runtime.h"

namespace berth::cri {

// null when there is none.
nlohmann::json BundleSpec(const runtime::Options& options, const runtime::ContainerStatus& container);
// process.args of it; what the request asked for when there is none.
std::vector<std::string> BundleCommand(const runtime::Options& options,
                                       const runtime::ContainerStatus& container);

}  // namespace berth::cri
