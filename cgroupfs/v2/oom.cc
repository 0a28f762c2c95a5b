// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/text.h"
#include "cgroupfs/v2/controllers.h"

namespace berth::cgroupfs::v2 {

base::Result<OomCounters> ParseEvents(std::string_view events, std::string_view local) {
  const auto tree = ParseKeyed(events, "oom_kill");
  if (!tree) return base::Malformed("memory.events has no 'oom_kill'");
  OomCounters counters;
  counters.oom_kill_tree = *tree;
  counters.oom_kill = ParseKeyed(local, "oom_kill").value_or(*tree);
  counters.oom_local = ParseKeyed(local, "oom");
  return counters;
}

}  // namespace berth::cgroupfs::v2
