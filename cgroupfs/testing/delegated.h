// SPDX-License-Identifier: Apache-2.0
// Where tests may make cgroups.
#pragma once

#include <cstdlib>
#include <string>

namespace berth::cgroupfs {

// The cgroup below which tests make theirs: $BERTH_TEST_CGROUP, which e2e/vm/guest/in-leaf sets to a cgroup
// that systemd delegated; without it the root ("").
inline std::string DelegatedCgroup() {
  const char* path = std::getenv("BERTH_TEST_CGROUP");
  return path == nullptr ? "" : path;
}

}  // namespace berth::cgroupfs
