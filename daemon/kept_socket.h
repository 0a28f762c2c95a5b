// SPDX-License-Identifier: Apache-2.0
// The listening socket over a restart, in systemd's file descriptor store (sd_notify(3), FDSTORE=1;
// FileDescriptorStoreMax= in systemd.service(5)): who connects while no berthd is there is kept waiting by
// the kernel, and served by the next one, instead of being refused. systemd lets go of it when the service is
// stopped for good. Without systemd all of this does nothing.
#pragma once

#include <string>

#include "base/fd.h"

namespace berth::daemon {

// What the berthd before left with systemd, when it listens at `path` and `path` is still there; otherwise an
// empty one, and what was kept under our name (for a path that is no longer configured, say) is let go of.
// Once, while no other thread reads the environment: it takes LISTEN_FDS and the like from there.
base::UniqueFd TakeKeptSocket(const std::string& path);

// Gives systemd a duplicate. False: nobody keeps it. Not to be called again for one that was taken: systemd
// has that still.
bool KeepSocket(int listener);

}  // namespace berth::daemon
