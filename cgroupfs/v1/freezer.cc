// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "base/fault.h"
#include "base/files.h"
#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

using base::Result;

Result<void> TryFreeze(Kernel& kernel, const std::string& dir, base::Deadline deadline) {
  if (dir.empty())
    return base::SyscallFailed(EOPNOTSUPP, "the cgroup controller 'freezer' is not mounted here");
  const std::string file = dir + "/freezer.state";
  BERTH_FAULT_POINT("cgroupfs.freeze");
  for (std::int64_t pause = base::kMillisecondNs;;
       pause = std::min<std::int64_t>(pause * 2, 20 * base::kMillisecondNs)) {
    // Written again each time: a task that was being forked or traced when the first write came is caught by
    // the next.
    if (auto written = kernel.Write(file, "FROZEN"); !written) return written;
    auto state = kernel.Read(file);
    if (!state) return state.TakeError();
    if (Trim(*state) == "FROZEN") return {};
    if (deadline.Passed()) {
      return base::SyscallFailed(ETIMEDOUT, "freeze cgroup '" + dir + "': some of its tasks do not stop");
    }
    kernel.Sleep(pause);
  }
}

Result<void> Freeze(Kernel& kernel, const std::string& dir, base::Deadline deadline) {
  auto frozen = TryFreeze(kernel, dir, deadline);
  if (!frozen && frozen.error().err == ETIMEDOUT) (void)Thaw(kernel, dir);
  return frozen;
}

Result<void> Thaw(Kernel& kernel, const std::string& dir) {
  if (dir.empty())
    return base::SyscallFailed(EOPNOTSUPP, "the cgroup controller 'freezer' is not mounted here");
  BERTH_FAULT_POINT("cgroupfs.thaw");
  auto written = kernel.Write(dir + "/freezer.state", "THAWED");
  return written || base::IsGone(written.error().err) ? Result<void>() : written;
}

}  // namespace berth::cgroupfs::v1
