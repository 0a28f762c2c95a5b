// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace berth::e2e {

// A network of our own with loopback up, so that bridges, addresses and port 5000 collide with nobody's, and
// a private mount namespace, so that whatever happens no mount outlives the run. Pids stay the host's: the
// kernel log speaks of those. Before any thread exists. False with errno set when the kernel refuses.
bool EnterOwnNamespaces();

}  // namespace berth::e2e
