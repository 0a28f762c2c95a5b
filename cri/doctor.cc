// SPDX-License-Identifier: Apache-2.0
#include "cri/doctor.h"

#include <sys/utsname.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace berth::cri {
namespace {

std::string Text(const std::string& path) {
  const auto text = base::ReadFile(path);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : std::string();
}

std::string KernelRelease() {
  utsname names{};
  return ::uname(&names) == 0 ? names.release : "";
}

Check CheckStore(const std::string& quarantined) {
  if (quarantined.empty()) return {"store", CheckStatus::kOk, "the database is whole", ""};
  return {"store", CheckStatus::kWarning,
          absl::StrCat("the database was unreadable at start; it was moved to '", quarantined,
                       "' and a new one begun"),
          "look at the disk's health; keep the moved file for a report, or delete it"};
}

}  // namespace

std::vector<Check> Doctor::Run() const {
  std::vector<Check> checks;
  const auto add = [&](std::vector<Check> more) { checks.insert(checks.end(), more.begin(), more.end()); };
  if (sources_.handlers != nullptr) add(CheckHandlers(*sources_.handlers));
  if (sources_.cgroups != nullptr) add(CheckCgroups(*sources_.cgroups));
  if (sources_.network != nullptr) checks.push_back(CheckCni(sources_.network->state()));
  checks.push_back(
      CheckForwarding(Text("/proc/sys/net/ipv4/ip_forward"), Text("/proc/sys/net/ipv6/conf/all/forwarding")));
  if (sources_.images != nullptr) checks.push_back(CheckOverlay(*sources_.images));
  checks.push_back(CheckKernelLog(sources_.kernel_log));
  checks.push_back(CheckOomScore(Text("/proc/self/status"), Text("/proc/self/oom_score_adj")));
  if (sources_.cgroups != nullptr) {
    checks.push_back(CheckPsi(base::Exists("/proc/pressure/memory"), sources_.cgroups->version()));
  }
  checks.push_back(CheckSeccomp(Text("/proc/sys/kernel/seccomp/actions_avail")));
  checks.push_back(CheckApparmor(Text("/sys/module/apparmor/parameters/enabled"),
                                 Text("/sys/kernel/security/apparmor/profiles")));
  checks.push_back(
      CheckUserNamespaces(base::Exists("/proc/self/ns/user"), Text("/proc/sys/user/max_user_namespaces")));
  checks.push_back(CheckSwap(Text("/proc/swaps")));
  checks.push_back(CheckExitStatusOfLost(KernelRelease()));
  checks.push_back(CheckDisk("disk.root", sources_.root));
  checks.push_back(CheckDisk("disk.state", sources_.state));
  checks.push_back(CheckProgram("berth-monitor", sources_.monitor_program));
  checks.push_back(CheckProgram("berth-unpack", sources_.unpack_program));
  checks.push_back(CheckStore(sources_.quarantined_store));

  std::vector<std::string> degradations;
  for (const auto& check : checks) {
    if (check.status == CheckStatus::kWarning)
      degradations.push_back(absl::StrCat(check.name, ": ", check.found));
  }
  const std::lock_guard lock(mutex_);
  degradations_ = std::move(degradations);
  return checks;
}

std::vector<std::string> Doctor::Degradations() const {
  const std::lock_guard lock(mutex_);
  return degradations_;
}

}  // namespace berth::cri
