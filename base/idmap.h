// SPDX-License-Identifier: Apache-2.0
// Idmapped mounts (mount_setattr(2), Linux 5.12; as layers of overlayfs 5.19; of tmpfs 6.3). Thread safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace berth::base {

// A mount of `source` (links followed) that is nowhere yet: what id n owns there is shown as owned by the
// host's id for n of the user namespace. With what is mounted below it, where all of that can be mapped too;
// otherwise only the topmost mount is mapped, and those below show their files as nobody's. EINVAL: the file
// system cannot do it.
Result<UniqueFd> CloneIdmapped(const std::string& source, int user_namespace);

// Puts a mount made by CloneIdmapped on `target` (a directory for a directory, a file for a file).
Result<void> AttachMount(int mount, const std::string& target);

}  // namespace berth::base
