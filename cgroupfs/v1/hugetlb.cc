// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

base::Result<void> ApplyHugetlb(const std::string& dir, const Resources& resources, Changes& changes) {
  for (const auto& limit : resources.hugepage_limits) {
    const std::string stem = dir + "/hugetlb." + limit.page_size;
    if (dir.empty() || !changes.kernel().Exists(stem + ".limit_in_bytes")) {
      // kubelet sends a zero for every page size of the host, mounted controller or not.
      if (limit.limit_bytes == 0) continue;
      return base::SyscallFailed(
          EOPNOTSUPP, "a limit of huge pages of " + limit.page_size +
                          " needs the cgroup controller 'hugetlb' with that page size, which is not here");
    }
    const std::string wanted = "limit of huge pages of " + limit.page_size;
    const std::string value = std::to_string(limit.limit_bytes);
    if (auto set = changes.Set(stem + ".limit_in_bytes", value, wanted); !set) return set;
    // Reservations are counted apart since 5.7; unlimited, they fail as a fault (SIGBUS) instead of at mmap.
    if (changes.kernel().Exists(stem + ".rsvd.limit_in_bytes")) {
      if (auto set = changes.Set(stem + ".rsvd.limit_in_bytes", value, wanted); !set) return set;
    }
  }
  return {};
}

void ReadHugetlbLimits(const Kernel& kernel, const std::string& dir, const std::vector<std::string>& sizes,
                       Resources& limits) {
  if (dir.empty()) return;
  for (const auto& size : sizes) {
    auto text = kernel.Read(dir + "/hugetlb." + size + ".limit_in_bytes");
    if (!text) continue;
    const auto limit = ParseLimit(*text);
    if (limit && *limit != kUnlimited)
      limits.hugepage_limits.push_back({size, static_cast<std::uint64_t>(*limit)});
  }
}

}  // namespace berth::cgroupfs::v1
