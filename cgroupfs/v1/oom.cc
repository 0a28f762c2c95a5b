// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/text.h"
#include "cgroupfs/v1/controllers.h"

namespace berth::cgroupfs::v1 {

base::Result<OomCounters> ParseOomControl(std::string_view text) {
  const auto kills = ParseKeyed(text, "oom_kill");
  if (!kills) return base::Malformed("memory.oom_control has no 'oom_kill' (the kernel is older than 4.13)");
  OomCounters counters;
  counters.oom_kill = *kills;
  counters.oom_kill_tree = *kills;
  return counters;
}

}  // namespace berth::cgroupfs::v1
