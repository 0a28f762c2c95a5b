// SPDX-License-Identifier: Apache-2.0
// What the kernel tells about the machine and about processes.
#pragma once

#include <sys/types.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace berth::e2e::bench {

// Processor, kernel, memory, the file system of `dir`, cgroup layout.
nlohmann::json DescribeMachine(const std::string& dir);

// First line of what `program --version` says; empty when it says nothing.
std::string VersionOf(const std::string& program);

// File name of the program that the process runs; empty when it is gone or a kernel thread.
std::string ProgramName(pid_t pid);

// Proportional set size by /proc/<pid>/smaps_rollup; 0 when the process is gone.
long long PssKib(pid_t pid);

// CPU time of all threads of the process, ended ones too, its children not; nanosecond resolution by the
// process's own clock (clock_getcpuclockid). 0 when it is gone.
double CpuSeconds(pid_t pid);

// A thread of the process waits for a disk (state D).
bool WaitsForDisk(pid_t pid);

// CPU time that a cgroup sub-tree has used so far, children that ended included.
double CgroupCpuSeconds(const std::string& cgroup);

// How busy the machine was with things that were not ours, between two calls.
class LoadMeter {
 public:
  explicit LoadMeter(std::string own_cgroup);
  // Since the last call (or construction), in percent of one processor: CPU time of processes outside
  // `own_cgroup`, and time stolen by the hypervisor; and the load average now.
  nlohmann::json Take();

 private:
  struct Reading {
    double wall = 0, busy = 0, stolen = 0, own = 0;
  };
  Reading Read() const;
  std::string own_cgroup_;
  Reading last_;
};

}  // namespace berth::e2e::bench
