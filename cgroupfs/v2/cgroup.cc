// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/v2/cgroup.h"

#include <cerrno>
#include <utility>

#include "base/fault.h"
#include "cgroupfs/changes.h"
#include "cgroupfs/convert.h"
#include "cgroupfs/path.h"
#include "cgroupfs/tree.h"
#include "cgroupfs/unified.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {
namespace {

using base::Result;

// The kernel still counts exiting tasks for a moment after cgroup.procs is empty.
constexpr std::int64_t kRemovePatienceNs = 2 * base::kSecondNs;

class V2Cgroup final : public Cgroup {
 public:
  V2Cgroup(std::shared_ptr<Kernel> kernel, std::string mount, std::vector<std::string> page_sizes,
           std::string path, bool controllers)
      : kernel_(std::move(kernel)),
        mount_(std::move(mount)),
        page_sizes_(std::move(page_sizes)),
        path_(std::move(path)),
        dir_(DirOf(mount_, path_)),
        controllers_(controllers) {}

  const std::string& path() const override { return path_; }
  bool Exists() const override { return kernel_->Exists(dir_); }

  Result<bool> Create() override {
    std::vector<std::string> made;
    DirHook enable;
    if (controllers_) enable = [this](const std::string& dir) { return EnableControllers(*kernel_, dir); };
    auto ready = MakeDirs(*kernel_, mount_, path_, made, enable, nullptr);
    if (!ready) {
      UnmakeDirs(*kernel_, made);
      return ready.TakeError();
    }
    return !made.empty() && made.back() == dir_;
  }

  Result<void> Apply(const Resources& given) override {
    if (auto usable = NotTheRoot("set limits of"); !usable) return usable;
    if (auto valid = ValidateUnified(given.unified); !valid) return valid;
    const Resources resources = WithoutZeros(given);
    if (auto valid = ValidateResources(resources); !valid) return valid;
    if (!Exists()) return base::SyscallFailed(ENOENT, "set limits of cgroup '" + path_ + "'");
    Changes changes(*kernel_);
    auto applied = ApplyAll(resources, changes);
    if (!applied) return changes.Undo(applied.TakeError());
    return {};
  }

  std::vector<std::string> ProcsFiles() const override { return {dir_ + "/cgroup.procs"}; }

  Result<void> Join(pid_t pid) override {
    BERTH_FAULT_POINT("cgroupfs.join");
    return kernel_->Write(dir_ + "/cgroup.procs", std::to_string(pid));
  }

  Result<std::vector<pid_t>> Processes() const override {
    auto pids = ProcessesBelow(*kernel_, dir_);
    if (pids) SortUnique(*pids);
    return pids;
  }

  Result<void> KillAll(base::Deadline deadline) override {
    if (auto usable = NotTheRoot("kill"); !usable) return usable;
    return v2::KillAll(*kernel_, path_, dir_, deadline);
  }

  Result<void> Remove() override {
    if (auto usable = NotTheRoot("remove"); !usable) return usable;
    return RemoveDirs(*kernel_, dir_, base::Deadline::After(kRemovePatienceNs));
  }

  Result<void> Freeze(base::Deadline deadline) override {
    if (auto usable = NotTheRoot("freeze"); !usable) return usable;
    return v2::Freeze(*kernel_, dir_, deadline);
  }
  Result<void> Thaw() override { return v2::Thaw(*kernel_, dir_); }

  Result<Stats> ReadStats() const override { return v2::ReadStats(*kernel_, dir_); }

  Result<OomCounters> ReadOomCounters() const override {
    auto events = kernel_->Read(dir_ + "/memory.events");
    if (!events) return events.TakeError();
    auto local = kernel_->Read(dir_ + "/memory.events.local");
    return ParseEvents(*events, local ? *local : "");
  }

  Result<Resources> ReadLimits() const override {
    if (!Exists()) return base::SyscallFailed(ENOENT, "read limits of cgroup '" + path_ + "'");
    Resources limits;
    ReadCpuLimits(*kernel_, dir_, limits);
    ReadMemoryLimits(*kernel_, dir_, limits);
    ReadPidsLimits(*kernel_, dir_, limits);
    ReadCpusetLimits(*kernel_, dir_, limits);
    ReadHugetlbLimits(*kernel_, dir_, page_sizes_, limits);
    return limits;
  }

 private:
  Result<void> ApplyAll(const Resources& resources, Changes& changes) {
    if (auto set = ApplyCpuset(dir_, resources, changes); !set) return set;
    if (auto set = ApplyCpu(dir_, resources, changes); !set) return set;
    if (auto set = ApplyMemory(dir_, resources, changes); !set) return set;
    if (auto set = ApplyPids(dir_, resources, changes); !set) return set;
    if (auto set = ApplyHugetlb(dir_, resources, changes); !set) return set;
    return ApplyUnified(dir_, resources, changes);
  }

  Result<void> NotTheRoot(const std::string& verb) const {
    if (path_ != "/") return {};
    return base::SyscallFailed(EINVAL, verb + " cgroup '/': that is the whole host");
  }

  const std::shared_ptr<Kernel> kernel_;
  const std::string mount_;
  const std::vector<std::string> page_sizes_;
  const std::string path_;
  const std::string dir_;
  const bool controllers_;
};

}  // namespace

std::unique_ptr<Cgroup> MakeCgroup(std::shared_ptr<Kernel> kernel, const std::string& mount,
                                   std::vector<std::string> page_sizes, std::string path, bool controllers) {
  return std::make_unique<V2Cgroup>(std::move(kernel), mount, std::move(page_sizes), std::move(path),
                                    controllers);
}

}  // namespace berth::cgroupfs::v2
