// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/host_facts.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/inherit.h"
#include "runtime/security/capabilities.h"

namespace berth::runtime::oci {
namespace {

constexpr unsigned kCapSysResource = 24;

std::string StatusField(const std::string& status, const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(status, '\n')) {
    if (absl::StartsWith(line, name + ":"))
      return std::string(absl::StripAsciiWhitespace(line.substr(name.size() + 1)));
  }
  return "";
}

std::uint64_t Mask(const std::string& hex) {
  std::uint64_t mask = 0;
  return absl::SimpleHexAtoi(hex, &mask) ? mask : 0;
}

bool SwapAccounting(const cgroupfs::Host& cgroups) {
  const std::string root = cgroups.MemoryDir("/");
  if (root.empty()) return false;
  if (cgroups.version() == cgroupfs::Version::kV1) return base::Exists(root + "/memory.memsw.limit_in_bytes");
  // v2's root has no limits of its own: any child shows whether the kernel counts swap.
  const auto names = base::ListDir(root);
  if (!names.ok()) return false;
  return std::any_of(names->begin(), names->end(), [&](const std::string& name) {
    return base::Exists(root + "/" + name + "/memory.swap.max");
  });
}

}  // namespace

std::vector<std::string> CapabilityNames(const std::string& hex_mask) {
  const std::uint64_t mask = Mask(hex_mask);
  const auto& known = security::KnownCapabilities();
  std::vector<std::string> names;
  for (std::size_t bit = 0; bit < known.size(); ++bit) {
    if (mask >> bit & 1) names.push_back(known[bit]);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Architecture() {
  struct utsname name;
  if (uname(&name) != 0) return "";
  const std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

// seccomp(2): a filter at address 0 is EFAULT where filters exist, EINVAL where not. Nothing is installed.
bool KernelHasSeccomp() {
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) != 0 && errno == EFAULT;
}

HostFacts GatherHostFacts(const cgroupfs::Host& cgroups) {
  HostFacts facts;
  facts.cgroup_v2 = cgroups.version() == cgroupfs::Version::kV2;
  facts.hugepage_sizes = cgroups.HugepageSizes();
  facts.swap_accounting = SwapAccounting(cgroups);
  for (const char* name :
       {"cpu", "cpuset", "memory", "pids", "hugetlb", "io", "blkio", "devices", "freezer"}) {
    if (cgroups.HasController(name)) facts.cgroup_controllers.push_back(name);
  }
  const auto status = base::ReadFile("/proc/self/status");
  if (status.ok()) facts.capabilities = CapabilityNames(StatusField(*status, "CapBnd"));
  const bool may_lower = status.ok() && (Mask(StatusField(*status, "CapEff")) >> kCapSysResource & 1) != 0;
  if (!may_lower) {
    facts.oom_score_adj_floor = 0;
    if (const auto own = base::ReadFile("/proc/self/oom_score_adj"); own.ok()) {
      (void)absl::SimpleAtoi(absl::StripAsciiWhitespace(*own), &facts.oom_score_adj_floor);
    }
  }
  facts.seccomp = KernelHasSeccomp();
  const auto apparmor = base::ReadFile("/sys/module/apparmor/parameters/enabled");
  facts.apparmor =
      apparmor.ok() && absl::StartsWith(*apparmor, "Y") && base::Exists("/sys/kernel/security/apparmor");
  facts.selinux = base::Exists("/sys/fs/selinux/enforce");
  facts.architecture = Architecture();
  if (const auto limit = base::DescriptorLimitForOthers(); limit.ok())
    facts.descriptors = Rlimit{"RLIMIT_NOFILE", limit->soft, limit->hard};
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) == 0) facts.node_name = name;
  return facts;
}

}  // namespace berth::runtime::oci
