// SPDX-License-Identifier: Apache-2.0
#include "runtime/security/apparmor.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/process.h"
#include "base/status.h"

namespace berth::runtime::security {

// The second lock on the writable corners of /proc and /sys, and on mounting. What needs a capability stays
// the capabilities' business, the system calls the filter's.
std::string ApparmorDefaultProfile() {
  return absl::StrCat("profile ", kApparmorDefault, R"( flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  # Signals come from outside (the monitor, kubectl) and stay inside.
  signal (receive) peer=unconfined,
  signal (send,receive) peer=)",
                      kApparmorDefault, R"(,
  ptrace (trace,read,tracedby,readby) peer=)",
                      kApparmorDefault, R"(,
  deny mount,
  # Files that speak of the whole machine. A process' own directories and the pod's sysctls stay as they are.
  deny /proc/* w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rklx,
  deny /proc/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** wkl,
  deny /proc/sys/{abi,crypto,debug,dev,sunrpc,user,vm,xen}/** w,
  deny /proc/sys/fs/* w,
  deny /proc/sys/fs/{binfmt_misc,epoll,fanotify,inotify,quota,verity}/** w,
  deny /proc/sys/kernel/{[a-c]*,d[^o]*,[e-g]*,[i-l]*,[n-r]*,[t-z]*} w,
  deny /proc/sys/kernel/{firmware_config,keys,pty,random,seccomp,usermodehelper,yama}/** w,
  deny /sys/{block,bus,class,dev,devices,firmware,hypervisor,kernel,module,power}/** wkl,
  deny /sys/fs/[^c]*/** wkl,
  deny /sys/{firmware,kernel/debug,kernel/security,kernel/tracing}/** r,
}
)");
}

absl::Status LoadApparmorDefault(const std::string& parser, base::Deadline deadline) {
  base::SpawnOptions spawn;
  spawn.argv = {parser, "--replace", "--skip-cache"};
  spawn.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  BERTH_FAULT_POINT("security.load_apparmor");
  const auto run = base::RunCommand(spawn, ApparmorDefaultProfile(), deadline);
  if (!run.ok())
    return base::WithCode(absl::StatusCode::kFailedPrecondition, base::ToStatus(run.error()),
                          "load the AppArmor profile");
  if (run->status.ShellCode() == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("'", parser, "' did not load the profile '", kApparmorDefault,
                   "': ", run->err.empty() ? run->status.ToString() : run->err));
}

absl::Status CheckApparmorProfile(const std::string& name, const std::string& list) {
  const auto text = base::ReadFile(list, 16 << 20);
  if (!text.ok())
    return base::WithCode(absl::StatusCode::kFailedPrecondition, base::ToStatus(text.error()),
                          "look for AppArmor profiles");
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    // "name (enforce)": names may have spaces.
    const std::size_t mode = line.rfind(" (");
    if (mode != absl::string_view::npos && line.substr(0, mode) == name) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("AppArmor profile '", name, "' is not loaded on this node"));
}

}  // namespace berth::runtime::security
