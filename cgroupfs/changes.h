// SPDX-License-Identifier: Apache-2.0
// A row of writes to control files that is undone when one of them fails.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroupfs/kernel.h"

namespace berth::cgroupfs {

// Not thread safe: one per Apply. Undoes nothing by itself: the one who saw the error calls Undo.
class Changes {
 public:
  explicit Changes(Kernel& kernel) : kernel_(kernel) {}
  // Remembers the file's content, then writes. `wanted` names what is being set, for the error.
  base::Result<void> Set(const std::string& file, std::string_view value, std::string_view wanted);
  // The same, for files whose content is not what would be written back (io.max, write-only files): `undo`
  // is.
  base::Result<void> SetWithUndo(const std::string& file, std::string_view value,
                                 std::optional<std::string> undo, std::string_view wanted);
  // Puts back what was there, last change first. What could not be put back is added to the error's text.
  base::Error Undo(base::Error cause);
  Kernel& kernel() { return kernel_; }

 private:
  struct Change {
    std::string file;
    std::string old_value;
  };
  Kernel& kernel_;
  std::vector<Change> done_;
};

}  // namespace berth::cgroupfs
