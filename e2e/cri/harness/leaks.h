// SPDX-License-Identifier: Apache-2.0
// What a runtime may leave behind on a host: mounts, interfaces, cgroups, processes, addresses, files.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace berth::e2e {

// Kind ("mount", "link", "cgroup", "process", "address", "file") -> names.
using Traces = std::map<std::string, std::set<std::string>>;

struct TraceScope {
  std::string cgroup_root;
  std::string ipam_dir;
  std::vector<std::string> file_trees;  // directories whose content counts
  std::set<pid_t> expected;             // processes that may run: the daemon, the registry
};

Traces TakeTraces(const TraceScope& scope);
// "mount /x" for each thing that is in `after` but not in `before`.
std::vector<std::string> Added(const Traces& before, const Traces& after);

// Our children and theirs, dead ones reaped and left out: the suite is a sub-reaper, so orphans come to it.
std::vector<pid_t> Descendants();
void KillDescendants();
void UnmountBelow(const std::string& dir);
std::vector<std::string> MountPoints();

}  // namespace berth::e2e
