// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/tree.h"

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "cgroupfs/path.h"
#include "cgroupfs/text.h"

namespace berth::cgroupfs {

using base::Result;

namespace {

constexpr int kMaxDepth = 256;  // deeper trees are not ours; the kernel's own default has no limit

Result<void> Collect(const Kernel& kernel, const std::string& dir, int depth, std::vector<pid_t>& pids) {
  auto own = kernel.Read(dir + "/cgroup.procs");
  if (own) {
    const auto parsed = ParsePids(*own);
    pids.insert(pids.end(), parsed.begin(), parsed.end());
  } else if (own.error().err == EOPNOTSUPP) {
    // A threaded v2 cgroup: its processes are named by the domain above.
  } else {
    return base::IsGone(own.error().err) ? Result<void>() : Result<void>(own.error());
  }
  if (depth >= kMaxDepth) return base::SyscallFailed(ELOOP, "cgroup '" + dir + "' is nested too deeply");
  auto children = kernel.SubDirs(dir);
  if (!children) return base::IsGone(children.error().err) ? Result<void>() : Result<void>(children.error());
  for (const auto& child : *children) {
    if (auto collected = Collect(kernel, dir + "/" + child, depth + 1, pids); !collected) return collected;
  }
  return {};
}

Result<void> RemoveOne(Kernel& kernel, const std::string& dir, base::Deadline deadline) {
  for (std::int64_t pause = base::kMillisecondNs;;
       pause = std::min<std::int64_t>(pause * 2, 50 * base::kMillisecondNs)) {
    auto removed = kernel.RemoveDir(dir);
    if (removed || base::IsGone(removed.error().err)) return {};
    if (removed.error().err != EBUSY) return removed;
    auto pids = ProcessesBelow(kernel, dir);
    if (pids && !pids->empty()) {
      SortUnique(*pids);
      return base::SyscallFailed(
          EBUSY, "remove cgroup '" + dir + "': processes " + PidsText(*pids) + " are left in it");
    }
    // Nobody is listed but the kernel still counts: exiting tasks, or a child that appeared meanwhile.
    auto children = kernel.SubDirs(dir);
    if (deadline.Passed() || (children && !children->empty())) return removed;
    kernel.Sleep(pause);
  }
}

Result<void> RemoveBelow(Kernel& kernel, const std::string& dir, int depth, base::Deadline deadline) {
  if (depth >= kMaxDepth) return base::SyscallFailed(ELOOP, "cgroup '" + dir + "' is nested too deeply");
  auto children = kernel.SubDirs(dir);
  if (!children) return base::IsGone(children.error().err) ? Result<void>() : Result<void>(children.error());
  for (const auto& child : *children) {
    if (auto removed = RemoveBelow(kernel, dir + "/" + child, depth + 1, deadline); !removed) return removed;
  }
  return RemoveOne(kernel, dir, deadline);
}

}  // namespace

void SortUnique(std::vector<pid_t>& pids) {
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
}

Result<void> MakeDirs(Kernel& kernel, std::string_view mount, std::string_view path,
                      std::vector<std::string>& made, const DirHook& before_child, const DirHook& after) {
  const auto steps = StepsDown(path);
  for (std::size_t i = 1; i < steps.size(); ++i) {
    if (before_child) {
      if (auto ready = before_child(std::string(mount) + steps[i - 1]); !ready) return ready;
    }
    const std::string dir = std::string(mount) + steps[i];
    if (auto created = kernel.MakeDir(dir); created)
      made.push_back(dir);
    else if (created.error().err != EEXIST)
      return created;
    if (after) {
      if (auto ready = after(dir); !ready) return ready;
    }
  }
  return {};
}

void UnmakeDirs(Kernel& kernel, const std::vector<std::string>& made) {
  for (auto dir = made.rbegin(); dir != made.rend(); ++dir) (void)kernel.RemoveDir(*dir);
}

Result<std::vector<pid_t>> ProcessesBelow(const Kernel& kernel, const std::string& dir) {
  std::vector<pid_t> pids;
  if (auto collected = Collect(kernel, dir, 0, pids); !collected) return collected.TakeError();
  return pids;
}

Result<void> RemoveDirs(Kernel& kernel, const std::string& dir, base::Deadline deadline) {
  return RemoveBelow(kernel, dir, 0, deadline);
}

}  // namespace berth::cgroupfs
