// SPDX-License-Identifier: Apache-2.0
#include "monitor/exec_cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/fault.h"
#include "base/files.h"

namespace berth::monitor {
namespace {

std::string BaseName(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string ParentOf(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

pid_t ParentPid(pid_t pid) {
  const auto stat = base::ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return 0;
  const auto bracket = stat->rfind(')');  // ") S 123 …"
  pid_t parent = 0;
  if (bracket == std::string::npos || bracket + 4 >= stat->size()) return 0;
  std::from_chars(stat->data() + bracket + 4, stat->data() + stat->size(), parent);
  return parent;
}

}  // namespace

std::vector<pid_t> TreeOf(pid_t root, const std::vector<pid_t>& candidates) {
  std::map<pid_t, pid_t> parents;
  for (const pid_t pid : candidates) parents[pid] = ParentPid(pid);
  std::vector<pid_t> tree{root};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    for (const auto& [pid, parent] : parents) {
      if (parent == tree[i] && std::find(tree.begin(), tree.end(), pid) == tree.end()) tree.push_back(pid);
    }
  }
  return tree;
}

ExecCgroup::ExecCgroup(const std::vector<std::string>& container_procs, const std::string& exec_id,
                       const std::string& runtime_path)
    : container_(DirsOf(container_procs)) {
  const std::string name = "exec-" + exec_id;
  const std::string runtime = BaseName(runtime_path);
  const bool runc = runtime.rfind("runc", 0) == 0;
  const bool crun = runtime.rfind("crun", 0) == 0;
  for (const auto& dir : container_.all) {
    const bool unified = dir == container_.unified;
    const bool pids = !unified && base::Exists(dir + "/pids.max");
    const bool freezer = dir == container_.freezer;
    if (!unified && !pids && !freezer) continue;
    const std::string child = dir + "/" + name;
    BERTH_FAULT_POINT("monitor.exec_cgroup");
    if (::mkdir(child.c_str(), 0755) != 0 && errno != EEXIST) continue;
    dirs_.all.push_back(child);
    if (freezer) dirs_.freezer = child;
    if (unified) dirs_.unified = child;
    if (runc && pids) args_.insert(args_.end(), {"--cgroup", "pids:" + name});
    if (runc && freezer) args_.insert(args_.end(), {"--cgroup", "freezer:" + name});
    if ((runc || crun) && unified) args_.insert(args_.end(), {"--cgroup", name});
  }
}

void ExecCgroup::Adopt(pid_t pid) const {
  if (dirs_.all.empty() || !args_.empty()) return;
  // First itself: whatever it forks from now on is born inside. Then, until none is new, what it had forked
  // before.
  std::vector<pid_t> known;
  constexpr int kMostPasses = 8;
  for (int pass = 0; pass < kMostPasses; ++pass) {
    bool moved = false;
    for (const pid_t member : TreeOf(pid, ProcessesIn(container_))) {
      if (std::find(known.begin(), known.end(), member) != known.end()) continue;
      known.push_back(member);
      moved = true;
      for (const auto& dir : dirs_.all)
        (void)base::WriteControl(dir + "/cgroup.procs", std::to_string(member));
    }
    if (!moved) return;
  }
}

bool ExecCgroup::Dissolve() {
  BERTH_FAULT_POINT("monitor.exec_cgroup_dissolve");
  bool gone = true;
  for (const auto& dir : dirs_.all) {
    for (const pid_t pid : ProcessesIn({{dir}, "", ""})) {
      (void)base::WriteControl(ParentOf(dir) + "/cgroup.procs", std::to_string(pid));
    }
    if (::rmdir(dir.c_str()) != 0 && errno != ENOENT) gone = false;
  }
  return gone;
}

}  // namespace berth::monitor
