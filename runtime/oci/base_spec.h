// SPDX-License-Identifier: Apache-2.0
// What a handler's configuration adds to the specifications of its containers. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/types.h"

namespace berth::runtime::oci {

// Fills `spec` with what `base` has and it lacks: keys of objects one by one, mounts by destination,
// environment by name. What decides about isolation is never taken from a base: namespaces, seccomp, masked
// and read-only paths, capabilities, devices, the root, ids.
void FillFromBase(const nlohmann::json& base, nlohmann::json& spec);

// Those of `annotations` whose key one of the patterns allows; '*' stands for any text.
StringMap AllowedAnnotations(const StringMap& annotations, const std::vector<std::string>& patterns);

}  // namespace berth::runtime::oci
