// SPDX-License-Identifier: Apache-2.0
// What programs that we start must not get from us. Thread safe but where it is said.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::base {

// Raises this process's soft limit of open descriptors to `wanted`, at most to the hard limit. What Spawn
// starts gets the limit back that was there before: how much a container may open is the operator's affair (a
// unit's LimitNOFILE=), not a consequence of what we need for ourselves. To be called once, before there are
// threads.
Result<void> RaiseDescriptorLimit(std::uint64_t wanted);

// What Spawn gives them.
struct DescriptorLimit {
  std::uint64_t soft = 0, hard = 0;
};
Result<DescriptorLimit> DescriptorLimitForOthers();

// `environment` (environ) without what a service manager tells one process alone (NOTIFY_SOCKET, WATCHDOG_*,
// LISTEN_*, …), for programs that go on without us. An OCI runtime that sees NOTIFY_SOCKET would hand it on
// to its container.
std::vector<std::string> EnvironmentForOthers(const char* const* environment);

}  // namespace berth::base
