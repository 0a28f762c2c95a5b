// SPDX-License-Identifier: Apache-2.0
// Steps around monitors that several parts of a pod's life share.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/container.h"
#include "runtime/pod.h"

namespace berth::runtime {

// The monitors' own cgroup (made when missing), program and places.
absl::StatusOr<monitor::LaunchOptions> MonitorLaunchOptions(Core& core, const Pod& pod);
// Surely. Without a descriptor to look with (EMFILE) nobody is taken for dead.
bool IsDead(const base::ProcessIdentity& identity);
// The pod's monitor, if it lives: by its record, else (a crash came between its launch and the record) by
// looking through the monitors' cgroup.
std::optional<base::ProcessIdentity> FindMonitor(const Core& core, const Pod& pod);
// It does not answer: has it ended, or is it about to? (A process that dies closes its sockets a moment
// before it is seen as dead.)
bool MonitorGone(const Core& core, const Pod& pod);
// The cgroup of a pod's PID holder.
std::string HolderCgroup(const Options& options, const std::string& pod_id);

// The exit record is there: takes it, tells the monitor to forget the container, and brings the pod's limits
// up to date.
// False: the record is not there or cannot be read.
bool AfterExit(Container& container);
// AfterExit for an end that the monitor told of; tried again while the record cannot be read (no free
// descriptor, an I/O error): the event does not come twice.
void TakeExit(Core& core, const std::string& container_id);
// The same status, but what a monitor does not find is no answer to the question for the container itself.
absl::Status FromMonitor(const absl::Status& status);

// True once the process has ended; waits for that at most `ns`.
bool WaitGone(int pidfd, std::int64_t ns);

// Its monitor is dead: what is left of the container is killed by cgroup, and its end told with what is
// known.
void EndLostContainer(Core& core, Container& container);

// Living processes (zombies are not) of a cgroup and below it; empty when it is gone.
std::vector<pid_t> ProcessesOf(const Core& core, const std::string& cgroup);
// What keeps a killed container from ending, for people: "pid 812 (dd) in state D at fuse_lookup".
std::string DescribeLeft(const Core& core, const Pod& pod, const std::string& cgroup);

// The monitor owes an answer. Stopped (state T): it is continued, and goes on where it was; silent past
// `patience`, and not in the kernel's hands (state D): it is killed, and its containers are ended as lost.
// True when it is gone.
bool NudgeMonitor(Pod& pod, const base::ProcessIdentity& monitor, base::Deadline patience);

}  // namespace berth::runtime
