// SPDX-License-Identifier: Apache-2.0
#include "runtime/fsck/repair.h"

#include <poll.h>
#include <sys/mount.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::runtime::fsck {
namespace {

constexpr std::int64_t kEndNs = 10 * base::kSecondNs;

absl::Status KillProcess(const base::ProcessIdentity& identity) {
  const auto process = base::OpenProcess(identity);
  if (!process.ok()) return absl::OkStatus();  // it has ended meanwhile
  BERTH_FAULT_POINT("fsck.kill");
  (void)base::PidfdSignal(process->get(), SIGKILL);
  pollfd fd{process->get(), POLLIN, 0};
  const base::Deadline deadline = base::Deadline::After(kEndNs);
  while (::poll(&fd, 1, deadline.PollMs()) < 0 && errno == EINTR) {
  }
  if (base::PidfdExited(process->get())) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("process ", identity.pid, " was killed and has not ended"));
}

absl::Status RemoveCgroup(const Ground& ground, const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(auto cgroup, base::ToStatusOr(ground.cgroups->At(path)));
  BERTH_FAULT_POINT("fsck.cgroup_remove");
  BERTH_RETURN_IF_ERROR(base::ToStatus(cgroup->KillAll(base::Deadline::After(kEndNs))));
  return base::ToStatus(cgroup->Remove());
}

absl::Status Unmount(const std::string& path) {
  BERTH_FAULT_POINT("fsck.unmount");
  while (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  // EINVAL: nothing is mounted there any more.
  return errno == EINVAL || errno == ENOENT ? absl::OkStatus()
                                            : base::SyscallError(errno, absl::StrCat("unmount '", path, "'"));
}

absl::Status RemoveDirectory(const std::string& path) {
  BERTH_FAULT_POINT("fsck.tree_remove");
  return base::ToStatus(base::RemoveTree(path));
}

absl::Status Apply(const Ground& ground, const Finding& finding) {
  switch (finding.mend) {
    case Mend::kNone:
      return absl::OkStatus();
    case Mend::kKillProcess:
      return KillProcess(finding.process);
    case Mend::kRemoveCgroup:
      return RemoveCgroup(ground, finding.subject);
    case Mend::kUnmount:
      return Unmount(finding.subject);
    case Mend::kRemoveTree:
      return RemoveDirectory(finding.subject);
    case Mend::kDetachNetwork:
      return ground.hands.detach_network(finding.id);
    case Mend::kStopPod:
      return ground.hands.stop_pod(finding.id);
    case Mend::kStopContainer:
      return ground.hands.stop_container(finding.id);
    case Mend::kRemoveContainer:
      return ground.hands.remove_container(finding.id);
  }
  return absl::OkStatus();
}

// Mounts go from the deepest up, cgroups too; else in the order of the enumeration.
bool Before(const Finding* one, const Finding* two) {
  if (one->mend != two->mend) return one->mend < two->mend;
  return one->subject.size() > two->subject.size();
}

}  // namespace

void Repair(const Ground& ground, std::vector<Finding>* findings) {
  std::vector<Finding*> order;
  for (auto& finding : *findings) {
    if (finding.mend != Mend::kNone) order.push_back(&finding);
  }
  std::stable_sort(order.begin(), order.end(), Before);
  for (Finding* finding : order) {
    const absl::Status done = Apply(ground, *finding);
    finding->mended = done.ok();
    if (!done.ok()) finding->failure = std::string(done.message());
    base::LogWarning(done.ok() ? "fsck mended" : "fsck could not mend", {{"kind", Name(finding->kind)},
                                                                         {"what", finding->subject},
                                                                         {"found", finding->found},
                                                                         {"done", finding->remedy},
                                                                         {"status", done}});
  }
}

}  // namespace berth::runtime::fsck
