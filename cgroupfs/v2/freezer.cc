// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/fault.h"
#include "base/files.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

Result<void> TryFreeze(Kernel& kernel, const std::string& dir, base::Deadline deadline) {
  BERTH_FAULT_POINT("cgroupfs.freeze");
  if (auto written = kernel.Write(dir + "/cgroup.freeze", "1"); !written) return written;
  auto frozen = kernel.AwaitLine(dir + "/cgroup.events", "frozen 1", deadline);
  if (frozen || frozen.error().err != ETIMEDOUT) return frozen;
  return base::SyscallFailed(ETIMEDOUT, "freeze cgroup '" + dir + "': some of its tasks do not stop");
}

Result<void> Freeze(Kernel& kernel, const std::string& dir, base::Deadline deadline) {
  auto frozen = TryFreeze(kernel, dir, deadline);
  if (!frozen) (void)Thaw(kernel, dir);
  return frozen;
}

Result<void> Thaw(Kernel& kernel, const std::string& dir) {
  BERTH_FAULT_POINT("cgroupfs.thaw");
  auto written = kernel.Write(dir + "/cgroup.freeze", "0");
  return written || base::IsGone(written.error().err) ? Result<void>() : written;
}

}  // namespace berth::cgroupfs::v2
