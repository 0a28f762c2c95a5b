// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/changes.h"

#include <utility>

#include "base/fault.h"
#include "cgroupfs/text.h"

namespace berth::cgroupfs {

base::Result<void> Changes::Set(const std::string& file, std::string_view value, std::string_view wanted) {
  auto old_value = kernel_.Read(file);
  if (!old_value)
    return base::SyscallFailed(old_value.error().err,
                               "set " + std::string(wanted) + ": " + old_value.error().what);
  return SetWithUndo(file, value, std::string(Trim(*old_value)), wanted);
}

base::Result<void> Changes::SetWithUndo(const std::string& file, std::string_view value,
                                        std::optional<std::string> undo, std::string_view wanted) {
  BERTH_FAULT_POINT("cgroupfs.apply");
  if (auto written = kernel_.Write(file, value); !written) {
    return base::SyscallFailed(written.error().err,
                               "set " + std::string(wanted) + ": " + written.error().what);
  }
  if (undo) done_.push_back({file, std::move(*undo)});
  return {};
}

base::Error Changes::Undo(base::Error cause) {
  for (; !done_.empty(); done_.pop_back()) {
    BERTH_FAULT_POINT("cgroupfs.undo");
    if (auto undone = kernel_.Write(done_.back().file, done_.back().old_value); !undone) {
      cause.what += " (and undoing failed: " + undone.error().Message() + ")";
    }
  }
  return cause;
}

}  // namespace berth::cgroupfs
