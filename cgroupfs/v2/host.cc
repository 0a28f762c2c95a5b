// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/v2/host.h"

#include <algorithm>
#include <utility>

#include "cgroupfs/path.h"
#include "cgroupfs/v2/cgroup.h"

namespace berth::cgroupfs::v2 {
namespace {

class V2Host final : public Host {
 public:
  V2Host(std::shared_ptr<Kernel> kernel, std::string mount, std::vector<std::string> controllers,
         std::vector<std::string> page_sizes)
      : kernel_(std::move(kernel)),
        mount_(std::move(mount)),
        controllers_(std::move(controllers)),
        page_sizes_(std::move(page_sizes)) {}

  Version version() const override { return Version::kV2; }
  base::Result<std::unique_ptr<Cgroup>> At(const std::string& path) const override {
    return Make(path, true);
  }
  base::Result<std::unique_ptr<Cgroup>> ExecAt(const std::string& path) const override {
    return Make(path, false);
  }
  bool HasController(const std::string& name) const override {
    return std::find(controllers_.begin(), controllers_.end(), name) != controllers_.end();
  }
  std::vector<std::string> HugepageSizes() const override { return page_sizes_; }
  std::string UnifiedMountToHide() const override { return ""; }
  std::string MemoryDir(const std::string& path) const override { return DirOf(mount_, path); }

 private:
  base::Result<std::unique_ptr<Cgroup>> Make(const std::string& path, bool controllers) const {
    if (auto valid = ValidatePath(path); !valid) return valid.TakeError();
    return MakeCgroup(kernel_, mount_, page_sizes_, path, controllers);
  }

  const std::shared_ptr<Kernel> kernel_;
  const std::string mount_;
  const std::vector<std::string> controllers_;
  const std::vector<std::string> page_sizes_;
};

}  // namespace

std::shared_ptr<const Host> MakeHost(std::shared_ptr<Kernel> kernel, std::string mount,
                                     std::vector<std::string> controllers,
                                     std::vector<std::string> page_sizes) {
  return std::make_shared<V2Host>(std::move(kernel), std::move(mount), std::move(controllers),
                                  std::move(page_sizes));
}

}  // namespace berth::cgroupfs::v2
