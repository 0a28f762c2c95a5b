// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/leaks.h"

#include <absl/strings/str_split.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/process.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

struct Proc {
  pid_t parent = 0;
  char state = '?';
  std::string comm;
};

// comm is hostile text: the fields after it are found from the right.
bool ReadProc(pid_t pid, Proc* proc) {
  const std::string text = TryReadFile("/proc/" + std::to_string(pid) + "/stat").value_or("");
  const size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 4 >= text.size()) return false;
  proc->comm = text.substr(open + 1, close - open - 1);
  proc->state = text[close + 2];
  proc->parent = static_cast<pid_t>(std::atol(text.c_str() + close + 4));
  return true;
}

std::string Describe(pid_t pid) {
  std::string command = TryReadFile("/proc/" + std::to_string(pid) + "/cmdline").value_or("");
  std::replace(command.begin(), command.end(), '\0', ' ');
  return std::to_string(pid) + " " + command;
}

}  // namespace

std::vector<pid_t> Descendants() {
  std::map<pid_t, Proc> all;
  for (const std::string& name : ListDir("/proc")) {
    Proc proc;
    const pid_t pid = static_cast<pid_t>(std::atol(name.c_str()));
    if (pid > 0 && ReadProc(pid, &proc)) all[pid] = proc;
  }
  std::vector<pid_t> found{::getpid()};
  for (size_t i = 0; i < found.size(); ++i) {
    for (const auto& [pid, proc] : all) {
      if (proc.parent != found[i]) continue;
      if (proc.state == 'Z') {
        // An orphan that nobody else will ever wait for; children of Program are waited for by their owner.
        if (proc.parent == ::getpid()) ::waitpid(pid, nullptr, WNOHANG);
        continue;
      }
      found.push_back(pid);
    }
  }
  found.erase(found.begin());
  return found;
}

void KillDescendants() {
  Eventually(
      [] {
        const std::vector<pid_t> pids = Descendants();
        for (const pid_t pid : pids) ::kill(pid, SIGKILL);
        return pids.empty();
      },
      seconds(10));
}

std::vector<std::string> MountPoints() {
  std::vector<std::string> points;
  for (const std::string& line : Lines(ReadFile("/proc/self/mountinfo"))) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 4) points.push_back(fields[4]);
  }
  return points;
}

void UnmountBelow(const std::string& dir) {
  std::vector<std::string> points = MountPoints();
  std::reverse(points.begin(), points.end());
  for (const std::string& point : points) {
    if (point.rfind(dir + "/", 0) == 0) ::umount2(point.c_str(), MNT_DETACH);
  }
}

Traces TakeTraces(const TraceScope& scope) {
  Traces traces;
  for (const std::string& point : MountPoints()) traces["mount"].insert(point);
  for (const std::string& line : Lines(MustRun({"ip", "-o", "link"}))) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() > 1) traces["link"].insert(words[1].substr(0, words[1].find_first_of("@:")));
  }
  for (const std::string& cgroup : CgroupTree(scope.cgroup_root)) traces["cgroup"].insert(cgroup);
  for (const pid_t pid : Descendants()) {
    if (scope.expected.count(pid) == 0) traces["process"].insert(Describe(pid));
  }
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(scope.ipam_dir, error)) {
    // host-local keeps one file per address, named by it, beside its own lock and last_reserved_ip.*
    const std::string name = entry.path().filename();
    if (entry.is_regular_file(error) && name.rfind("last_reserved", 0) != 0 && name != "lock") {
      traces["address"].insert(name);
    }
  }
  for (const std::string& tree : scope.file_trees) {
    for (auto it = fs::recursive_directory_iterator(tree, error); it != fs::recursive_directory_iterator();
         it.increment(error)) {
      traces["file"].insert(it->path());
    }
  }
  return traces;
}

std::vector<std::string> Added(const Traces& before, const Traces& after) {
  std::vector<std::string> added;
  for (const auto& [kind, names] : after) {
    const auto old = before.find(kind);
    for (const std::string& name : names) {
      if (old == before.end() || old->second.count(name) == 0) added.push_back(kind + " " + name);
    }
  }
  return added;
}

}  // namespace berth::e2e
