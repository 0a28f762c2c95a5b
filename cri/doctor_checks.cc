// SPDX-License-Identifier: Apache-2.0
// What the kernel of this host offers.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "cri/doctor.h"
#include "runtime/security/apparmor.h"

namespace berth::cri {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kDiskFailsBelow = 100 * kMiB;
constexpr std::uint64_t kDiskWarnsBelow = 1024 * kMiB;

// The value of "Key:\tvalue" in /proc/self/status.
std::string FieldOf(const std::string& status, absl::string_view key) {
  for (const absl::string_view line : absl::StrSplit(status, '\n')) {
    if (absl::StartsWith(line, key)) return std::string(absl::StripAsciiWhitespace(line.substr(key.size())));
  }
  return "";
}

}  // namespace

Check CheckForwarding(const std::string& ipv4, const std::string& ipv6) {
  const std::string name = "network.forwarding";
  if (ipv4 == "1" && (ipv6 == "1" || ipv6.empty()))
    return {name, CheckStatus::kOk, "the kernel forwards packets", ""};
  if (ipv4 == "1") {
    return {name, CheckStatus::kWarning,
            "IPv6 packets are not forwarded: pods reach nothing outside the node over IPv6",
            "sysctl -w net.ipv6.conf.all.forwarding=1, if pods have IPv6 addresses"};
  }
  return {name, CheckStatus::kWarning,
          "packets are not forwarded (net.ipv4.ip_forward is not 1): unless the CNI plugin sets it, pods "
          "reach nothing outside the node",
          "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d for the next boot"};
}

Check CheckKernelLog(const std::string& path) {
  const std::string name = "kernel.log";
  const std::string remedy =
      "give berthd CAP_SYSLOG and the device; until then OOM kills are told from the cgroups' counters "
      "alone, without the victim's name";
  const auto device = base::OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (!device.ok()) {
    return {name, CheckStatus::kWarning,
            absl::StrCat("the kernel log cannot be read: ", device.error().Message()), remedy};
  }
  // From the end: only whether reading is allowed matters.
  char record[8192];
  const off_t end = ::lseek(device->get(), 0, SEEK_END);
  if (::read(device->get(), record, sizeof record) < 0 && errno != EAGAIN && errno != EPIPE &&
      errno != EINTR) {
    return {name, CheckStatus::kWarning,
            absl::StrCat("the kernel log cannot be read: '", path, "': ", std::strerror(errno)), remedy};
  }
  static_cast<void>(end);
  return {name, CheckStatus::kOk, absl::StrCat("the kernel log is readable ('", path, "')"), ""};
}

Check CheckOomScore(const std::string& status, const std::string& own_score) {
  const std::string name = "memory.oom_score_adj";
  std::uint64_t effective = 0;
  if (!absl::SimpleHexAtoi(FieldOf(status, "CapEff:"), &effective)) {
    return {name, CheckStatus::kSkipped, "the daemon's capabilities cannot be read", ""};
  }
  if ((effective >> CAP_SYS_RESOURCE) & 1)
    return {name, CheckStatus::kOk, "oom_score_adj of containers can be lowered", ""};
  return {
      name, CheckStatus::kWarning,
      absl::StrCat(
          "CAP_SYS_RESOURCE is missing: an oom_score_adj below the daemon's own (", own_score,
          ") is clamped to it, so guaranteed and node-critical pods are not protected from the OOM killer"),
      "start berthd with CAP_SYS_RESOURCE"};
}

Check CheckPsi(bool host_has_psi, cgroupfs::Version version) {
  const std::string name = "kernel.psi";
  if (host_has_psi && version == cgroupfs::Version::kV2) {
    return {name, CheckStatus::kOk, "pressure of each container is measured", ""};
  }
  if (host_has_psi) {
    return {name, CheckStatus::kWarning,
            "pressure (PSI) is measured for the node only: cgroup v1 has none per container",
            "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)"};
  }
  return {name, CheckStatus::kWarning,
          "the kernel measures no pressure (PSI): the fields in the statistics stay unset",
          "boot with psi=1"};
}

Check CheckSeccomp(const std::string& actions) {
  const std::string name = "security.seccomp";
  if (absl::StrContains(actions, "errno")) return {name, CheckStatus::kOk, "seccomp filters work", ""};
  return {name, CheckStatus::kFailure,
          "the kernel has no seccomp filters: containers that ask for a profile are refused",
          "use a kernel with CONFIG_SECCOMP_FILTER"};
}

Check CheckApparmor(const std::string& enabled, const std::string& profiles) {
  const std::string name = "security.apparmor";
  if (enabled != "Y") return {name, CheckStatus::kOk, "the kernel has no AppArmor", ""};
  const std::string start = absl::StrCat(runtime::security::kApparmorDefault, " (");
  if (absl::StartsWith(profiles, start) || absl::StrContains(profiles, "\n" + start))
    return {name, CheckStatus::kOk, "the default AppArmor profile is loaded", ""};
  return {name, CheckStatus::kWarning,
          absl::StrCat(
              "the AppArmor profile '", runtime::security::kApparmorDefault,
              "' is not loaded: containers run without one, and those that ask for the default are refused"),
          "install apparmor_parser (package apparmor), or name it in [defaults], and restart berthd"};
}

Check CheckUserNamespaces(bool kernel_has_them, const std::string& max) {
  const std::string name = "security.user_namespaces";
  if (!kernel_has_them) {
    return {name, CheckStatus::kFailure,
            "the kernel has no user namespaces: pods with hostUsers: false are refused",
            "use a kernel with CONFIG_USER_NS"};
  }
  if (max == "0") {
    return {name, CheckStatus::kFailure, "user namespaces are forbidden (user.max_user_namespaces is 0)",
            "sysctl -w user.max_user_namespaces=15000"};
  }
  return {name, CheckStatus::kOk, "the kernel allows user namespaces", ""};
}

Check CheckSwap(const std::string& proc_swaps) {
  const std::string name = "memory.swap";
  std::size_t areas = 0;
  for (const absl::string_view line : absl::StrSplit(proc_swaps, '\n', absl::SkipWhitespace())) {
    if (!absl::StartsWith(line, "Filename")) ++areas;
  }
  if (areas == 0) return {name, CheckStatus::kOk, "the node has no swap", ""};
  return {name, CheckStatus::kOk,
          absl::StrCat("the node has ", areas, " swap area(s); kubelet starts only with failSwapOn: false"),
          ""};
}

Check CheckExitStatusOfLost(const std::string& release) {
  const std::string name = "kernel.pidfd_info";
  int major = 0;
  int minor = 0;
  const std::vector<std::string> parts = absl::StrSplit(release, absl::MaxSplits(absl::ByAnyChar(".-"), 2));
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &major) || !absl::SimpleAtoi(parts[1], &minor)) {
    return {name, CheckStatus::kSkipped, absl::StrCat("kernel release '", release, "' is not understood"),
            ""};
  }
  if (major > 6 || (major == 6 && minor >= 15)) {
    return {name, CheckStatus::kOk,
            absl::StrCat("kernel ", release, ": exit codes survive the death of a monitor"), ""};
  }
  return {name, CheckStatus::kWarning,
          absl::StrCat("kernel ", release,
                       ": when a monitor is killed, its containers end as 'monitor lost' (137)"),
          "Linux 6.15 and later keep the exit code (PIDFD_GET_INFO)"};
}

Check CheckDisk(const std::string& name, const std::string& path) {
  struct statvfs facts {};
  if (::statvfs(path.c_str(), &facts) != 0) {
    return {name, CheckStatus::kSkipped,
            absl::StrCat("'", path, "' cannot be looked at: ", std::strerror(errno)), ""};
  }
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize;
  const std::string found = absl::StrCat("'", path, "' has ", free_bytes / kMiB, " MiB and ",
                                         static_cast<std::uint64_t>(facts.f_favail), " inodes free");
  const bool no_inodes = facts.f_files > 0 && facts.f_favail < facts.f_files / 100;
  // A small tmpfs is no disk about to be full.
  const std::uint64_t total_bytes = static_cast<std::uint64_t>(facts.f_blocks) * facts.f_frsize;
  const bool low = free_bytes < kDiskWarnsBelow && free_bytes < total_bytes / 10;
  if (free_bytes < std::min(kDiskFailsBelow, total_bytes / 20))
    return {name, CheckStatus::kFailure, found, "free some space, or move it to another disk"};
  if (low || no_inodes)
    return {name, CheckStatus::kWarning, found, "free some space, or move it to another disk"};
  return {name, CheckStatus::kOk, found, ""};
}

}  // namespace berth::cri
