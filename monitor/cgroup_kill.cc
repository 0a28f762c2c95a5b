// SPDX-License-Identifier: Apache-2.0
#include "monitor/cgroup_kill.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <csignal>

#include "base/fault.h"
#include "base/files.h"

namespace berth::monitor {
namespace {

constexpr std::int64_t kLongestWait = 50 * base::kMillisecondNs;

void Collect(const std::string& dir, std::vector<pid_t>& pids, int depth) {
  // cgroup.procs lists no zombies whose threads are gone (v2), and those of v1 vanish when reaped.
  if (const auto text = base::ReadFile(dir + "/cgroup.procs", 16 << 20)) {
    const char* at = text->data();
    const char* end = at + text->size();
    while (at < end) {
      pid_t pid = 0;
      const auto parsed = std::from_chars(at, end, pid);
      if (parsed.ec == std::errc() && pid > 0) pids.push_back(pid);
      at = std::find(parsed.ptr, end, '\n') + 1;
    }
  }
  if (depth == 0) return;
  DIR* listing = ::opendir(dir.c_str());
  if (listing == nullptr) return;
  while (const dirent* entry = ::readdir(listing)) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
      Collect(dir + "/" + entry->d_name, pids, depth - 1);
  }
  ::closedir(listing);
}

}  // namespace

CgroupKill::Dirs DirsOf(const std::vector<std::string>& procs_files) {
  CgroupKill::Dirs dirs;
  for (const auto& file : procs_files) {
    const std::string dir = file.substr(0, file.find_last_of('/'));
    dirs.all.push_back(dir);
    if (base::Exists(dir + "/freezer.state")) dirs.freezer = dir;
    if (base::Exists(dir + "/cgroup.kill")) dirs.unified = dir;
  }
  return dirs;
}

std::vector<pid_t> ProcessesIn(const CgroupKill::Dirs& dirs) {
  std::vector<pid_t> pids;
  constexpr int kDeepest = 32;
  for (const auto& dir : dirs.all) Collect(dir, pids, kDeepest);
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

std::shared_ptr<CgroupKill> CgroupKill::Start(Loop& loop, Dirs dirs, base::Deadline deadline,
                                              std::function<void(const std::vector<pid_t>&)> done) {
  std::shared_ptr<CgroupKill> self(new CgroupKill(loop, std::move(dirs), deadline, std::move(done)));
  loop.Post([self] {
    if (ProcessesIn(self->dirs_).empty()) return self->done_({});
    self->Strike(self);
  });
  return self;
}

void CgroupKill::Freeze(std::shared_ptr<CgroupKill> self) {
  // Takes hold within moments, and a fork in between inherits it: nobody can outrun the list that Strike
  // reads.
  if (!dirs_.freezer.empty()) (void)base::WriteControl(dirs_.freezer + "/freezer.state", "FROZEN");
  loop_.After(base::kMillisecondNs, [self] { self->Strike(self); });
}

void CgroupKill::Strike(std::shared_ptr<CgroupKill> self) {
  BERTH_FAULT_POINT("monitor.kill_cgroup");
  if (!dirs_.unified.empty()) (void)base::WriteControl(dirs_.unified + "/cgroup.kill", "1");
  const auto pids = ProcessesIn(dirs_);
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  if (!dirs_.freezer.empty()) (void)base::WriteControl(dirs_.freezer + "/freezer.state", "THAWED");
  if (pids.empty()) return done_({});
  if (deadline_.Passed()) return done_(pids);
  loop_.After(wait_ns_, [self] {
    if (ProcessesIn(self->dirs_).empty()) return self->done_({});
    self->Freeze(self);
  });
  wait_ns_ = std::min(wait_ns_ * 2, kLongestWait);
}

}  // namespace berth::monitor
