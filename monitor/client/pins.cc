// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/status.h"
#include "monitor/client.h"

namespace berth::monitor {
namespace {

absl::Status RemovePin(const std::string& path) {
  // As often as something is mounted there: a pin made twice lies on top of the first.
  while (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("unmount '", path, "'"));
  BERTH_FAULT_POINT("monitor.remove_pin");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return base::SyscallError(errno, absl::StrCat("remove '", path, "'"));
  return absl::OkStatus();
}

}  // namespace

absl::Status Pin(const PinOptions& options, base::Deadline deadline) {
  base::SpawnOptions spawn;
  spawn.argv = {options.program, "pin", "--dir", options.dir};
  // This thread waits for all of it, so the signal means our death: pins must not appear after who comes next
  // has cleaned up.
  spawn.parent_death_signal = SIGKILL;
  if (options.net) spawn.argv.push_back("--net");
  if (options.ipc) spawn.argv.push_back("--ipc");
  if (options.uts) spawn.argv.push_back("--uts");
  if (options.user) {
    spawn.argv.insert(spawn.argv.end(),
                      {"--user", absl::StrCat(options.user->first, ":", options.user->length)});
  }
  if (!options.hostname.empty()) spawn.argv.insert(spawn.argv.end(), {"--hostname", options.hostname});
  for (const auto& [name, value] : options.sysctls)
    spawn.argv.insert(spawn.argv.end(), {"--sysctl", absl::StrCat(name, "=", value)});
  for (const char* name : {"BERTH_FAULT", "BERTH_FAULT_LIST"}) {
    if (const char* value = ::getenv(name)) spawn.env.push_back(absl::StrCat(name, "=", value));
  }
  auto result = base::RunCommand(std::move(spawn), "", deadline);
  if (!result) {
    (void)Unpin(options.dir);  // it may have been killed half way
    return base::ToStatus(result.error());
  }
  if (result->status.ShellCode() == 0) return absl::OkStatus();
  if (result->status.signaled) (void)Unpin(options.dir);
  return absl::InternalError(result->err.empty()
                                 ? absl::StrCat("making namespaces ended with ", result->status.ToString())
                                 : result->err);
}

absl::Status Unpin(const std::string& dir) {
  for (const char* name : {"net", "ipc", "uts", "pid", "user"}) {
    if (auto removed = RemovePin(absl::StrCat(dir, "/", name)); !removed.ok()) return removed;
  }
  struct statx info {};
  while (::statx(AT_FDCWD, dir.c_str(), AT_SYMLINK_NOFOLLOW, 0, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    if (::umount2(dir.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
      return base::SyscallError(errno, absl::StrCat("unmount '", dir, "'"));
  }
  return absl::OkStatus();
}

}  // namespace berth::monitor
