// SPDX-License-Identifier: Apache-2.0
// A pod's user namespace and what must be made inside it: the other namespaces belong to the user namespace
// of their maker, and sysfs, mqueue and the net sysctls to that of theirs (design.md, rule 15).
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/process.h"
#include "base/result.h"

namespace berth::monitor {

// Ids 0…length-1 inside are first…first+length-1 of the host, users and groups alike.
struct UserMap {
  std::uint32_t first = 0;
  std::uint32_t length = 0;
};
// "100000:65536"; both positive and within 32 bits.
base::Result<UserMap> ParseUserMap(const std::string& text);

// Makes a user namespace with this map, in it the namespaces of `flags` (CLONE_NEW…), and brings the calling
// process into those, but not into the user namespace: so it keeps the host's rights over them. The
// user namespace is held by the descriptor. Forks: for the single-threaded pin mode only.
base::Result<base::UniqueFd> EnterInUserNamespace(const UserMap& map, int flags);

}  // namespace berth::monitor
