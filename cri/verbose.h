// SPDX-License-Identifier: Apache-2.0
// The `info` of verbose statuses: one key "info" with JSON for people, as crictl's users know it.
#pragma once

#include <map>
#include <string>

#include "runtime/runtime.h"

namespace berth::cri {

std::map<std::string, std::string> PodInfo(const runtime::PodStatus& pod);
// With the OCI spec and the exit record where there are any; reads files.
std::map<std::string, std::string> ContainerInfo(const runtime::Runtime& runtime,
                                                 const runtime::ContainerStatus& container);

}  // namespace berth::cri
