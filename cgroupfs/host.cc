// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/v1/host.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cgroupfs/cgroup.h"
#include "cgroupfs/detect.h"
#include "cgroupfs/kernel.h"
#include "cgroupfs/mounts.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v2/host.h"

namespace berth::cgroupfs {
namespace {

using base::Result;

Result<Layout> DetectLayout(const Kernel& kernel, const std::string& root) {
  if (auto text = kernel.Read(root + "/proc/self/mountinfo")) return LayoutOf(ParseMountinfo(*text));
  auto text = kernel.Read(root + "/proc/mounts");
  if (!text) return text.TakeError();
  return LayoutOf(ParseMounts(*text));
}

// The page sizes that this kernel has (Documentation/admin-guide/mm/hugetlbpage.rst). The controller has
// files for exactly these; on v2 its root shows none.
std::vector<std::string> PageSizes(const Kernel& kernel, const std::string& root) {
  std::vector<std::string> sizes;
  auto names = kernel.SubDirs(root + "/sys/kernel/mm/hugepages");
  if (!names) return sizes;
  for (const auto& name : *names) {
    if (auto size = HugepageSizeFromDir(name)) sizes.push_back(std::move(*size));
  }
  return sizes;
}

}  // namespace

Result<std::shared_ptr<const Host>> DetectWith(std::shared_ptr<Kernel> kernel, const std::string& root) {
  auto detected = DetectLayout(*kernel, root);
  if (!detected) return detected.TakeError();
  Layout layout = std::move(*detected);
  std::vector<std::string> unified_controllers;
  if (!layout.unified.empty()) {
    if (auto text = kernel->Read(root + layout.unified + "/cgroup.controllers")) {
      for (const auto word : SplitWords(*text)) unified_controllers.emplace_back(word);
    } else if (layout.version == Version::kV2) {
      return text.TakeError();
    }
  }
  if (layout.version == Version::kV2) {
    const bool hugetlb = std::count(unified_controllers.begin(), unified_controllers.end(), "hugetlb") > 0;
    return v2::MakeHost(kernel, root + layout.unified, std::move(unified_controllers),
                        hugetlb ? PageSizes(*kernel, root) : std::vector<std::string>());
  }
  const bool little = std::all_of(unified_controllers.begin(), unified_controllers.end(),
                                  [](const auto& name) { return name == "hugetlb"; });
  std::string hide = little ? layout.unified : "";
  for (auto& hierarchy : layout.hierarchies) hierarchy.mount = root + hierarchy.mount;
  if (!layout.unified.empty()) layout.unified = root + layout.unified;
  const bool hugetlb = layout.Find("hugetlb") != nullptr;
  return v1::MakeHost(kernel, std::move(layout), std::move(hide),
                      hugetlb ? PageSizes(*kernel, root) : std::vector<std::string>());
}

Result<std::shared_ptr<const Host>> Host::Detect(const std::string& root) {
  return DetectWith(std::make_shared<SystemKernel>(), root);
}

}  // namespace berth::cgroupfs
