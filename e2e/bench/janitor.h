// SPDX-License-Identifier: Apache-2.0
// The process that cleans up, whatever becomes of the one that measures.
#pragma once

#include <functional>
#include <string>

namespace berth::e2e::bench {

struct Place {
  std::string dir;     // throw-away; removed at the end
  std::string cgroup;  // "/berth-test-bench-<pid>", in every hierarchy; killed and removed at the end
};

// Runs `work` in a child: in its own process group (Ctrl-C reaches only us), in the cgroup "<cgroup>/bench".
// When it ended, crashed, or a signal tells us to stop: kills it, everything in the cgroup and every orphan
// (we are their sub-reaper), unmounts and deletes. First sweeps what runs left behind whose janitor was
// killed. Gives the child's exit status, 128+n for a signal. Call before any thread exists.
int RunGuarded(const std::string& parent_dir, const std::function<int(const Place&)>& work);

}  // namespace berth::e2e::bench
