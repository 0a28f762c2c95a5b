// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/testing/fake_kernel.h"

#include <algorithm>
#include <cerrno>

#include "cgroupfs/path.h"
#include "cgroupfs/text.h"

namespace berth::cgroupfs {
namespace {

using base::Result;

constexpr char kNone[] = "9223372036854771712";

base::Error Err(int err, const std::string& what) { return base::SyscallFailed(err, what); }

std::string BaseName(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// memory.limit_in_bytes as the kernel compares it.
std::uint64_t V1Limit(std::string_view value) {
  if (Trim(value) == "-1") return *ParseNumber(kNone);
  return ParseNumber(value).value_or(0);
}

}  // namespace

std::shared_ptr<FakeKernel> FakeKernel::V1() {
  auto kernel = std::make_shared<FakeKernel>();
  std::string mountinfo;
  for (const char* name : {"memory", "cpu", "cpuacct", "cpuset", "pids", "freezer", "systemd"}) {
    const std::string mount = std::string("/sys/fs/cgroup/") + name;
    const std::string option = std::string(name) == "systemd" ? "name=systemd" : name;
    mountinfo += "30 29 0:30 / " + mount + " rw,relatime - cgroup cgroup rw," + option + "\n";
    kernel->PutDir(mount);
    kernel->Put(mount + "/cgroup.procs", "1\n");
  }
  mountinfo += "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
  kernel->Put("/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
  kernel->Put("/sys/fs/cgroup/unified/cgroup.procs", "1\n");
  kernel->Put("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-3\n");
  kernel->Put("/sys/fs/cgroup/cpuset/cpuset.mems", "0\n");
  kernel->Put("/proc/self/mountinfo", mountinfo);
  return kernel;
}

std::shared_ptr<FakeKernel> FakeKernel::V2() {
  auto kernel = std::make_shared<FakeKernel>();
  kernel->Put("/proc/self/mountinfo",
              "30 29 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
  kernel->Put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
  kernel->Put("/sys/fs/cgroup/cgroup.subtree_control", "\n");
  kernel->Put("/sys/fs/cgroup/cgroup.procs", "1\n");
  kernel->PutDir("/sys/kernel/mm/hugepages/hugepages-2048kB");
  kernel->PutDir("/sys/kernel/mm/hugepages/hugepages-1048576kB");
  return kernel;
}

Result<std::string> FakeKernel::Read(const std::string& file) const {
  const auto found = files_.find(file);
  if (found == files_.end()) return Err(ENOENT, "open '" + file + "'");
  return found->second;
}

// The refusals of mem_cgroup_resize_max and of cgroup_subtree_control_write.
int FakeKernel::Check(const std::string& file, std::string_view value) const {
  const std::string dir = ParentPath(file);
  const auto content = [&](const std::string& name) {
    const auto found = files_.find(dir + "/" + name);
    return found == files_.end() ? std::string() : found->second;
  };
  const std::string name = BaseName(file);
  if (name == "memory.limit_in_bytes") {
    if (V1Limit(value) > V1Limit(content("memory.memsw.limit_in_bytes")) &&
        !content("memory.memsw.limit_in_bytes").empty())
      return EINVAL;
    if (V1Limit(value) < V1Limit(content("memory.usage_in_bytes"))) return EBUSY;
  }
  if (name == "memory.memsw.limit_in_bytes") {
    if (V1Limit(value) < V1Limit(content("memory.limit_in_bytes"))) return EINVAL;
    if (V1Limit(value) < V1Limit(content("memory.memsw.usage_in_bytes"))) return EBUSY;
  }
  if (name == "cgroup.subtree_control" && dir != "/sys/fs/cgroup" &&
      !ParsePids(content("cgroup.procs")).empty())
    return EBUSY;
  return 0;
}

Result<void> FakeKernel::Write(const std::string& file, std::string_view value) {
  const std::string what = "write '" + std::string(value) + "' to '" + file + "'";
  const auto found = files_.find(file);
  if (found == files_.end()) return Err(ENOENT, what);
  for (const auto& [suffix, err] : refused_) {
    if (err != 0 && EndsWith(file, suffix)) return Err(err, what);
  }
  if (const int err = Check(file, value); err != 0) return Err(err, what);
  log_.push_back(BaseName(file) + "=" + std::string(value));
  if (BaseName(file) == "cgroup.subtree_control") {
    std::string enabled(Trim(found->second));
    for (const auto word : SplitWords(value))
      enabled += (enabled.empty() ? "" : " ") + std::string(word.substr(1));
    found->second = enabled + "\n";
  } else if (value == "-1" && BaseName(file).rfind("memory.", 0) == 0) {
    found->second = kNone;
  } else {
    found->second = std::string(value) + "\n";
  }
  if (on_write) on_write(file, value);
  return {};
}

bool FakeKernel::Exists(const std::string& path) const {
  return files_.count(path) > 0 || dirs_.count(path) > 0;
}

void FakeKernel::Populate(const std::string& dir) {
  const auto in = [&](std::string_view mount) {
    return dir.rfind("/sys/fs/cgroup/" + std::string(mount) + "/", 0) == 0;
  };
  const auto put = [&](const char* name, const std::string& content) {
    files_[dir + "/" + name] = content + "\n";
  };
  put("cgroup.procs", "");
  if (files_.count("/sys/fs/cgroup/cgroup.controllers") > 0) {
    const std::string given = files_[ParentPath(dir) + "/cgroup.subtree_control"];
    const auto words = SplitWords(given);
    const auto has = [&](std::string_view name) {
      return std::find(words.begin(), words.end(), name) != words.end();
    };
    put("cgroup.controllers", std::string(Trim(given)));
    put("cgroup.subtree_control", "");
    put("cgroup.events", "populated 0\nfrozen 0");
    put("cgroup.freeze", "0");
    put("cgroup.kill", "");
    put("cpu.stat", "usage_usec 0");
    if (has("cpu")) put("cpu.weight", "100"), put("cpu.max", "max 100000");
    if (has("memory")) {
      put("memory.max", "max"), put("memory.current", "0"), put("memory.swap.max", "max"),
          put("memory.reclaim", "");
      put("memory.oom.group", "0"), put("memory.high", "max");
      put("memory.events", "oom 0\noom_kill 0"), put("memory.events.local", "oom 0\noom_kill 0");
    }
    if (has("pids")) put("pids.max", "max");
    if (has("cpuset")) put("cpuset.cpus", ""), put("cpuset.mems", "");
    if (has("hugetlb"))
      put("hugetlb.2MB.max", "max"), put("hugetlb.2MB.rsvd.max", "max"), put("hugetlb.1GB.max", "max");
    return;
  }
  if (in("cpu")) put("cpu.shares", "1024"), put("cpu.cfs_quota_us", "-1"), put("cpu.cfs_period_us", "100000");
  if (in("memory")) {
    put("memory.limit_in_bytes", kNone), put("memory.memsw.limit_in_bytes", kNone);
    put("memory.usage_in_bytes", "0"), put("memory.memsw.usage_in_bytes", "0");
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0");
  }
  if (in("cpuset")) put("cpuset.cpus", ""), put("cpuset.mems", "");
  if (in("pids")) put("pids.max", "max");
  if (in("freezer")) put("freezer.state", "THAWED"), put("freezer.parent_freezing", "0");
}

Result<void> FakeKernel::MakeDir(const std::string& dir) {
  for (const auto& [suffix, err] : refused_) {
    if (err != 0 && EndsWith(dir, suffix)) return Err(err, "create cgroup '" + dir + "'");
  }
  if (Exists(dir)) return Err(EEXIST, "create cgroup '" + dir + "'");
  if (dirs_.count(ParentPath(dir)) == 0) return Err(ENOENT, "create cgroup '" + dir + "'");
  dirs_.insert(dir);
  Populate(dir);
  return {};
}

Result<void> FakeKernel::RemoveDir(const std::string& dir) {
  if (dirs_.count(dir) == 0) return Err(ENOENT, "remove cgroup '" + dir + "'");
  if (busy_rmdirs > 0) {
    --busy_rmdirs;
    return Err(EBUSY, "remove cgroup '" + dir + "'");
  }
  const auto children = SubDirs(dir);
  if (!children->empty() || !ParsePids(Content(dir + "/cgroup.procs")).empty())
    return Err(EBUSY, "remove cgroup '" + dir + "'");
  Drop(dir);
  return {};
}

Result<std::vector<std::string>> FakeKernel::SubDirs(const std::string& dir) const {
  if (dirs_.count(dir) == 0) return Err(ENOENT, "open '" + dir + "'");
  std::vector<std::string> names;
  for (const auto& other : dirs_) {
    if (other != dir && ParentPath(other) == dir) names.push_back(BaseName(other));
  }
  return names;
}

Result<void> FakeKernel::AwaitLine(const std::string& file, std::string_view line, base::Deadline) const {
  auto text = Read(file);
  if (!text) return text.TakeError();
  if (HasLine(*text, line)) return {};
  return Err(ETIMEDOUT, "wait for '" + std::string(line) + "' in '" + file + "'");
}

void FakeKernel::Kill(const std::vector<pid_t>& pids, const std::function<std::vector<pid_t>()>& list) {
  const auto still = list();
  for (const pid_t pid : pids) {
    if (std::find(still.begin(), still.end(), pid) != still.end()) killed.push_back(pid);
  }
  log_.emplace_back("SIGKILL");
}

void FakeKernel::Sleep(std::int64_t) const {
  if (on_sleep) on_sleep();
}

void FakeKernel::Put(const std::string& file, const std::string& content) {
  PutDir(ParentPath(file));
  files_[file] = content;
}

void FakeKernel::PutDir(const std::string& dir) {
  for (std::string step = dir; step != "/"; step = ParentPath(step)) dirs_.insert(step);
}

void FakeKernel::Drop(const std::string& path) {
  const auto below = [&](const std::string& other) {
    return other == path || other.rfind(path + "/", 0) == 0;
  };
  std::erase_if(files_, [&](const auto& entry) { return below(entry.first); });
  std::erase_if(dirs_, below);
}

void FakeKernel::Refuse(const std::string& suffix, int err) { refused_[suffix] = err; }

std::vector<std::string> FakeKernel::Log() const { return log_; }

std::string FakeKernel::Content(const std::string& file) const {
  const auto found = files_.find(file);
  return found == files_.end() ? "(no file)" : std::string(Trim(found->second));
}

}  // namespace berth::cgroupfs
