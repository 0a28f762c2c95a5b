// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

base::Result<void> ApplyHugetlb(const std::string& dir, const Resources& resources, Changes& changes) {
  for (const auto& limit : resources.hugepage_limits) {
    const std::string stem = dir + "/hugetlb." + limit.page_size;
    if (!changes.kernel().Exists(stem + ".max")) {
      // kubelet sends a zero for every page size of the host, controller or not.
      if (limit.limit_bytes == 0) continue;
      return base::SyscallFailed(
          EOPNOTSUPP,
          "a limit of huge pages of " + limit.page_size +
              " needs the cgroup controller 'hugetlb' with that page size, which is not enabled here");
    }
    const std::string wanted = "limit of huge pages of " + limit.page_size;
    const std::string value = std::to_string(limit.limit_bytes);
    if (auto set = changes.Set(stem + ".max", value, wanted); !set) return set;
    // Reservations are counted apart since 5.7; unlimited, they fail as a fault (SIGBUS) instead of at mmap.
    if (changes.kernel().Exists(stem + ".rsvd.max")) {
      if (auto set = changes.Set(stem + ".rsvd.max", value, wanted); !set) return set;
    }
  }
  return {};
}

void ReadHugetlbLimits(const Kernel& kernel, const std::string& dir, const std::vector<std::string>& sizes,
                       Resources& limits) {
  for (const auto& size : sizes) {
    auto text = kernel.Read(dir + "/hugetlb." + size + ".max");
    if (!text) continue;
    const auto limit = ParseMaxOrNumber(*text);
    if (limit && *limit != kUnlimited)
      limits.hugepage_limits.push_back({size, static_cast<std::uint64_t>(*limit)});
  }
}

}  // namespace berth::cgroupfs::v2
