// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/unified.h"

#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

using base::Result;

Result<void> ApplyUnified(const std::string& dir, const Resources& resources, Changes& changes) {
  for (const auto& [key, value] : resources.unified) {
    const std::string file = dir + "/" + key;
    // kubelet asks for no swap wherever the node seems to have swap accounting; without it there is nothing
    // to set.
    if (key == "memory.swap.max" && value == "0" && !changes.kernel().Exists(file)) continue;
    if (auto there = NeedFile(changes.kernel(), file, ControllerOf(key)); !there) {
      return base::SyscallFailed(there.error().err, "unified key '" + key + "': " + there.error().what);
    }
    if (key == "memory.max") {
      if (const auto limit = ParseMaxOrNumber(value)) {
        if (auto room = MakeRoom(changes.kernel(), dir, *limit); !room) return room;
      }
    }
    // One value can be written back; of several lines (io.max) or none (write-only files) there is nothing to
    // put back.
    std::optional<std::string> undo;
    if (auto text = changes.kernel().Read(file); text && SplitLines(*text).size() == 1)
      undo = std::string(Trim(*text));
    if (auto set = changes.SetWithUndo(file, value, std::move(undo), "unified key '" + key + "'"); !set)
      return set;
  }
  return {};
}

}  // namespace berth::cgroupfs::v2
