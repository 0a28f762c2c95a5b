// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/cgroups.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
constexpr char kRoot[] = "/sys/fs/cgroup";

// Every mounted hierarchy: v2's own root, or one directory per controller (and "unified" on hybrid hosts).
std::vector<std::string> Hierarchies() {
  if (CgroupV2()) return {kRoot};
  std::vector<std::string> found;
  for (const std::string& name : ListDir(kRoot)) {
    const std::string path = std::string(kRoot) + "/" + name;
    if (!fs::is_symlink(path) && Exists(path + "/cgroup.procs")) found.push_back(path);
  }
  return found;
}

void Walk(const std::string& dir, std::vector<std::string>* found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    if (!entry.is_directory(error) || entry.is_symlink(error)) continue;
    Walk(entry.path(), found);
    found->push_back(entry.path());  // children first: the order in which rmdir works
  }
}

std::vector<pid_t> PidsOf(const std::string& dir) {
  std::vector<pid_t> pids;
  for (const std::string& line : Lines(TryReadFile(dir + "/cgroup.procs").value_or(""))) {
    pids.push_back(static_cast<pid_t>(std::stol(line)));
  }
  return pids;
}

}  // namespace

bool CgroupV2() { return Exists(std::string(kRoot) + "/cgroup.controllers"); }

std::string CgroupDir(const std::string& controller, const std::string& cgroup) {
  return std::string(kRoot) + (CgroupV2() ? "" : "/" + controller) + cgroup;
}

std::optional<long long> MemoryLimit(const std::string& cgroup) {
  const std::string file = CgroupV2() ? "/memory.max" : "/memory.limit_in_bytes";
  const std::string text = Trim(TryReadFile(CgroupDir("memory", cgroup) + file).value_or("max"));
  if (text.empty() || text == "max") return std::nullopt;
  const long long bytes = std::stoll(text);
  if (bytes > (1LL << 60)) return std::nullopt;  // v1's "no limit" is the largest multiple of a page
  return bytes;
}

bool MemoryCgroupExists(const std::string& cgroup) { return Exists(CgroupDir("memory", cgroup)); }

std::vector<pid_t> CgroupPids(const std::string& cgroup) {
  std::set<pid_t> pids;
  for (const std::string& hierarchy : Hierarchies()) {
    std::vector<std::string> dirs;
    Walk(hierarchy + cgroup, &dirs);
    dirs.push_back(hierarchy + cgroup);
    for (const std::string& dir : dirs) {
      for (const pid_t pid : PidsOf(dir)) pids.insert(pid);
    }
  }
  return {pids.begin(), pids.end()};
}

std::vector<std::string> CgroupTree(const std::string& cgroup) {
  std::vector<std::string> tree;
  for (const std::string& hierarchy : Hierarchies()) {
    std::vector<std::string> dirs;
    Walk(hierarchy + cgroup, &dirs);
    for (const std::string& dir : dirs) {
      tree.push_back(fs::path(hierarchy).filename().string() + ":" + dir.substr(hierarchy.size()));
    }
  }
  std::sort(tree.begin(), tree.end());
  return tree;
}

void MakeCgroup(const std::string& cgroup) {
  for (const std::string& hierarchy : Hierarchies()) {
    std::error_code error;
    fs::create_directories(hierarchy + cgroup, error);
    if (!Exists(hierarchy + cgroup + "/cpuset.cpus") || CgroupV2()) continue;
    // v1's cpuset starts empty and then refuses every process, and every child that is not empty.
    std::string dir = hierarchy;
    for (const fs::path& name : fs::path(cgroup).relative_path()) {
      for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
        const std::string inherited = ReadFile(dir + file);
        if (Trim(ReadFile(dir + "/" + name.string() + file)).empty())
          WriteFile(dir + "/" + name.string() + file, inherited);
      }
      dir += "/" + name.string();
    }
  }
}

void DestroyCgroup(const std::string& cgroup) {
  Eventually(
      [&] {
        const std::vector<pid_t> pids = CgroupPids(cgroup);
        for (const pid_t pid : pids) ::kill(pid, SIGKILL);
        return pids.empty();
      },
      seconds(10));
  for (const std::string& hierarchy : Hierarchies()) {
    std::vector<std::string> dirs;
    Walk(hierarchy + cgroup, &dirs);
    dirs.push_back(hierarchy + cgroup);
    for (const std::string& dir : dirs) ::rmdir(dir.c_str());
  }
}

void SweepStaleCgroups(const std::string& prefix) {
  for (const std::string& hierarchy : Hierarchies()) {
    for (const std::string& name : ListDir(hierarchy)) {
      if (name.rfind(prefix, 0) != 0) continue;
      const pid_t owner = static_cast<pid_t>(std::atol(name.c_str() + prefix.size()));
      if (owner > 0 && ::kill(owner, 0) != 0) DestroyCgroup("/" + name);
    }
  }
}

}  // namespace berth::e2e
