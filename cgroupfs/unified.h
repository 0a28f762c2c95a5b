// SPDX-License-Identifier: Apache-2.0
// The `unified` map of a request: untrusted keys that become names of files in the cgroup's directory. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cgroupfs {

// "memory" of "memory.high".
std::string_view ControllerOf(std::string_view key);
// Keys are controller.name[.name…] in letters, digits and '_', without a slash; "cgroup.*" is refused
// (cgroup.kill, cgroup.procs and the like are not limits); values are one line. EINVAL with a sentence.
base::Result<void> ValidateUnified(const std::map<std::string, std::string>& unified);

}  // namespace berth::cgroupfs
