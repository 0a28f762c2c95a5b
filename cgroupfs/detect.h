// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cgroupfs/cgroup.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs {

// Host::Detect with a kernel of the caller's choice (tests).
base::Result<std::shared_ptr<const Host>> DetectWith(std::shared_ptr<Kernel> kernel, const std::string& root);

}  // namespace berth::cgroupfs
