// SPDX-License-Identifier: Apache-2.0
// The host's cgroup file system as a test sees it: v1, v2 and hybrid (v1 controllers beside a v2 tree).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace berth::e2e {

bool CgroupV2();  // every controller on v2

// The directory of `cgroup` ("/a/b") in the hierarchy that owns `controller`.
std::string CgroupDir(const std::string& controller, const std::string& cgroup);

// The memory limit of a cgroup in bytes; nullopt: none, or no such cgroup.
std::optional<long long> MemoryLimit(const std::string& cgroup);
bool MemoryCgroupExists(const std::string& cgroup);

// All processes of a cgroup and below it.
std::vector<pid_t> CgroupPids(const std::string& cgroup);

// Cgroups below `cgroup` in any hierarchy, as "controller:/path".
std::vector<std::string> CgroupTree(const std::string& cgroup);

void MakeCgroup(const std::string& cgroup);     // in every hierarchy
void DestroyCgroup(const std::string& cgroup);  // kills what is in it; best effort

// Sub-trees "berth-test-e2e-<pid>" of runs that died without cleaning up.
void SweepStaleCgroups(const std::string& prefix);

}  // namespace berth::e2e
