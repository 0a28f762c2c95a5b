// SPDX-License-Identifier: Apache-2.0
// The `pin` mode: makes a pod's namespaces and pins them by bind mounts, so that they need no process
// (design.md, rule 15).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "monitor/user_namespace.h"

namespace berth::monitor {

struct PinPlan {
  std::string dir;
  bool net = false, ipc = false, uts = false;
  std::optional<UserMap> user;  // a user namespace, pinned too; the others are made inside it
  std::string hostname;
  std::vector<std::pair<std::string, std::string>> sysctls;
};

// "net.ipv4.ip_forward" → "net/ipv4/ip_forward" below /proc/sys. Only names that a net or ipc namespace has
// as its own: net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*; also with slashes, as sysctl(8) takes
// them ("net/ipv4/conf/eth0.1/forwarding").
base::Result<std::string> SysctlPath(const std::string& name);

// Changes the calling process's namespaces: single-threaded, ends afterwards. On failure nothing is left
// pinned.
base::Result<void> PinAll(const PinPlan& plan);
int PinMain(int argc, char** argv);

}  // namespace berth::monitor
