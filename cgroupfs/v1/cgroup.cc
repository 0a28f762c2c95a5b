// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/v1/cgroup.h"

#include <cerrno>
#include <utility>

#include "base/fault.h"
#include "cgroupfs/changes.h"
#include "cgroupfs/convert.h"
#include "cgroupfs/path.h"
#include "cgroupfs/tree.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {
namespace {

using base::Result;

// The kernel still counts exiting tasks for a moment after cgroup.procs is empty.
constexpr std::int64_t kRemovePatienceNs = 2 * base::kSecondNs;

class V1Cgroup final : public Cgroup {
 public:
  V1Cgroup(std::shared_ptr<Kernel> kernel, std::shared_ptr<const Layout> layout,
           std::vector<std::string> page_sizes, std::string path)
      : kernel_(std::move(kernel)),
        layout_(std::move(layout)),
        page_sizes_(std::move(page_sizes)),
        path_(std::move(path)) {}

  const std::string& path() const override { return path_; }

  bool Exists() const override {
    return !layout_->hierarchies.empty() && kernel_->Exists(DirOf(layout_->hierarchies.back().mount, path_));
  }

  Result<bool> Create() override {
    if (layout_->hierarchies.empty()) {
      return base::SyscallFailed(
          EOPNOTSUPP, "create cgroup '" + path_ + "': neither 'pids' nor 'freezer' is mounted here");
    }
    std::vector<std::string> made;
    for (const auto& hierarchy : layout_->hierarchies) {
      DirHook inherit;
      if (hierarchy.Has("cpuset"))
        inherit = [this](const std::string& dir) { return InheritCpuset(*kernel_, dir); };
      auto ready = MakeDirs(*kernel_, hierarchy.mount, path_, made, nullptr, inherit);
      if (!ready) {
        UnmakeDirs(*kernel_, made);
        return ready.TakeError();
      }
    }
    // The last hierarchy's directory is made last: one that stands there means that the others do too.
    return !made.empty() && made.back() == DirOf(layout_->hierarchies.back().mount, path_);
  }

  Result<void> Apply(const Resources& given) override {
    if (auto usable = NotTheRoot("set limits of"); !usable) return usable;
    if (!given.unified.empty()) {
      return base::SyscallFailed(
          EINVAL, "'" + given.unified.begin()->first.substr(0, 80) +
                      "' in unified resources needs cgroup v2; this host's controllers are on v1");
    }
    const Resources resources = WithoutZeros(given);
    if (auto valid = ValidateResources(resources); !valid) return valid;
    if (!Exists()) return base::SyscallFailed(ENOENT, "set limits of cgroup '" + path_ + "'");
    Changes changes(*kernel_);
    auto applied = ApplyAll(resources, changes);
    if (!applied) return changes.Undo(applied.TakeError());
    return {};
  }

  std::vector<std::string> ProcsFiles() const override {
    std::vector<std::string> files;
    for (const auto& hierarchy : layout_->hierarchies)
      files.push_back(DirOf(hierarchy.mount, path_) + "/cgroup.procs");
    return files;
  }

  Result<void> Join(pid_t pid) override {
    for (const auto& file : ProcsFiles()) {
      BERTH_FAULT_POINT("cgroupfs.join");
      if (auto joined = kernel_->Write(file, std::to_string(pid)); !joined) return joined;
    }
    return {};
  }

  Result<std::vector<pid_t>> Processes() const override {
    std::vector<pid_t> pids;
    for (const auto& dir : AllDirs()) {
      auto below = ProcessesBelow(*kernel_, dir);
      if (!below) return below.TakeError();
      pids.insert(pids.end(), below->begin(), below->end());
    }
    SortUnique(pids);
    return pids;
  }

  Result<void> KillAll(base::Deadline deadline) override {
    if (auto usable = NotTheRoot("kill"); !usable) return usable;
    const std::string freezer = Dir("freezer");
    return v1::KillAll(*kernel_, path_, AllDirs(), kernel_->Exists(freezer) ? freezer : "", deadline);
  }

  Result<void> Remove() override {
    if (auto usable = NotTheRoot("remove"); !usable) return usable;
    const auto deadline = base::Deadline::After(kRemovePatienceNs);
    for (const auto& dir : AllDirs()) {
      if (auto removed = RemoveDirs(*kernel_, dir, deadline); !removed) return removed;
    }
    return {};
  }

  Result<void> Freeze(base::Deadline deadline) override {
    if (auto usable = NotTheRoot("freeze"); !usable) return usable;
    return v1::Freeze(*kernel_, Dir("freezer"), deadline);
  }
  Result<void> Thaw() override { return v1::Thaw(*kernel_, Dir("freezer")); }

  Result<Stats> ReadStats() const override {
    return v1::ReadStats(*kernel_, {Dir("cpu"), Dir("cpuacct"), Dir("memory"), Dir("pids")});
  }

  Result<OomCounters> ReadOomCounters() const override {
    const std::string dir = Dir("memory");
    if (dir.empty())
      return base::SyscallFailed(EOPNOTSUPP, "the cgroup controller 'memory' is not mounted here");
    auto text = kernel_->Read(dir + "/memory.oom_control");
    if (!text) return text.TakeError();
    return ParseOomControl(*text);
  }

  Result<Resources> ReadLimits() const override {
    if (!Exists()) return base::SyscallFailed(ENOENT, "read limits of cgroup '" + path_ + "'");
    Resources limits;
    ReadCpuLimits(*kernel_, Dir("cpu"), limits);
    ReadMemoryLimits(*kernel_, Dir("memory"), limits);
    ReadPidsLimits(*kernel_, Dir("pids"), limits);
    ReadCpusetLimits(*kernel_, Dir("cpuset"), limits);
    ReadHugetlbLimits(*kernel_, Dir("hugetlb"), page_sizes_, limits);
    return limits;
  }

 private:
  Result<void> ApplyAll(const Resources& resources, Changes& changes) {
    if (auto set = ApplyCpuset(Dir("cpuset"), resources, changes); !set) return set;
    if (auto set = ApplyCpu(Dir("cpu"), resources, changes); !set) return set;
    if (auto set = ApplyMemory(Dir("memory"), resources, changes); !set) return set;
    if (auto set = ApplyPids(Dir("pids"), resources, changes); !set) return set;
    return ApplyHugetlb(Dir("hugetlb"), resources, changes);
  }

  Result<void> NotTheRoot(const std::string& verb) const {
    if (path_ != "/") return {};
    return base::SyscallFailed(EINVAL, verb + " cgroup '/': that is the whole host");
  }

  // "" when the controller is not mounted.
  std::string Dir(std::string_view controller) const {
    const std::string mount = layout_->MountOf(controller);
    return mount.empty() ? "" : DirOf(mount, path_);
  }

  std::vector<std::string> AllDirs() const {
    std::vector<std::string> dirs;
    for (const auto& hierarchy : layout_->hierarchies) dirs.push_back(DirOf(hierarchy.mount, path_));
    if (!layout_->unified.empty()) dirs.push_back(DirOf(layout_->unified, path_));
    return dirs;
  }

  const std::shared_ptr<Kernel> kernel_;
  const std::shared_ptr<const Layout> layout_;
  const std::vector<std::string> page_sizes_;
  const std::string path_;
};

}  // namespace

std::unique_ptr<Cgroup> MakeCgroup(std::shared_ptr<Kernel> kernel, std::shared_ptr<const Layout> layout,
                                   std::vector<std::string> page_sizes, std::string path) {
  return std::make_unique<V1Cgroup>(std::move(kernel), std::move(layout), std::move(page_sizes),
                                    std::move(path));
}

}  // namespace berth::cgroupfs::v1
