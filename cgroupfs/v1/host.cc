// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/v1/host.h"

#include <utility>

#include "cgroupfs/path.h"
#include "cgroupfs/v1/cgroup.h"

namespace berth::cgroupfs::v1 {
namespace {

class V1Host final : public Host {
 public:
  V1Host(std::shared_ptr<Kernel> kernel, Layout layout, std::string hide, std::vector<std::string> page_sizes)
      : kernel_(std::move(kernel)), hide_(std::move(hide)), page_sizes_(std::move(page_sizes)) {
    Layout exec;
    exec.unified = layout.unified;
    for (const auto& hierarchy : layout.hierarchies) {
      if (hierarchy.Has("pids") || hierarchy.Has("freezer")) exec.hierarchies.push_back(hierarchy);
    }
    layout_ = std::make_shared<const Layout>(std::move(layout));
    exec_layout_ = std::make_shared<const Layout>(std::move(exec));
  }

  Version version() const override { return Version::kV1; }
  base::Result<std::unique_ptr<Cgroup>> At(const std::string& path) const override {
    return Make(path, layout_);
  }
  base::Result<std::unique_ptr<Cgroup>> ExecAt(const std::string& path) const override {
    return Make(path, exec_layout_);
  }
  bool HasController(const std::string& name) const override { return layout_->Find(name) != nullptr; }
  std::vector<std::string> HugepageSizes() const override { return page_sizes_; }
  std::string UnifiedMountToHide() const override { return hide_; }
  std::string MemoryDir(const std::string& path) const override {
    const std::string mount = layout_->MountOf("memory");
    return mount.empty() ? "" : DirOf(mount, path);
  }

 private:
  base::Result<std::unique_ptr<Cgroup>> Make(const std::string& path,
                                             const std::shared_ptr<const Layout>& layout) const {
    if (auto valid = ValidatePath(path); !valid) return valid.TakeError();
    return MakeCgroup(kernel_, layout, page_sizes_, path);
  }

  const std::shared_ptr<Kernel> kernel_;
  const std::string hide_;
  const std::vector<std::string> page_sizes_;
  std::shared_ptr<const Layout> layout_;
  std::shared_ptr<const Layout> exec_layout_;
};

}  // namespace

std::shared_ptr<const Host> MakeHost(std::shared_ptr<Kernel> kernel, Layout layout, std::string hide,
                                     std::vector<std::string> page_sizes) {
  return std::make_shared<V1Host>(std::move(kernel), std::move(layout), std::move(hide),
                                  std::move(page_sizes));
}

}  // namespace berth::cgroupfs::v1
