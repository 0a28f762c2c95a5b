// SPDX-License-Identifier: Apache-2.0
// What the kernel's memory killer writes to its log, read from /dev/kmsg (Documentation/ABI/testing/dev-kmsg,
// mm/oom_kill.c).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace berth::monitor {

struct KernelVictim {
  std::int64_t pid = 0;         // of the initial PID namespace
  std::string comm;             // hostile text, as the log escapes it
  std::uint64_t rss_bytes = 0;  // anon + file + shmem
  bool global = false;          // the node's memory, no cgroup's
  // From the line before it, which the kernel limits to ten per five seconds; nullopt when it was not there.
  std::optional<std::string> oom_memcg;   // whose limit
  std::optional<std::string> task_memcg;  // where the victim was
};

// Pure. Feed it one record as read from /dev/kmsg at a time; records of other facilities than the kernel's
// are nothing (what a process writes there becomes facility 1, so that nobody can forge a death).
class KernelLogParser {
 public:
  std::optional<KernelVictim> Feed(std::string_view record);

 private:
  std::string constraint_;  // the last "oom-kill:" line without a victim yet
};

struct KernelLogNews {
  std::vector<KernelVictim> victims;
  bool lost = false;  // the log overran: evidence may be missing
};

class KernelLog {
 public:
  // Opens at the end. Not polled: the kernel wakes pollers for each line of anybody.
  static base::Result<KernelLog> Open(const std::string& path);
  // What has come since the last call. Errors other than an overrun count as lost.
  KernelLogNews Read();

 private:
  explicit KernelLog(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
  KernelLogParser parser_;
};

// Text of /proc/<pid>/cgroup (cgroups(7)): the cgroup that the process's memory is charged to; nullopt when
// the text names none. v1 shows an exiting process in "/" (proc_cgroup_show of the kernel's cgroup.c), so
// that is none either. Pure.
std::optional<std::string> MemoryCgroupOf(std::string_view proc_cgroup);

inline constexpr char kKernelLogPath[] = "/dev/kmsg";

}  // namespace berth::monitor
