// SPDX-License-Identifier: Apache-2.0
// Starting programs (never fork without exec) and holding processes by pidfd. Thread safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace berth::base {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is the program's absolute path
  std::vector<std::string> env;   // "K=V"; the child gets exactly this
  std::string cwd;                // "" = unchanged
  // Child's descriptors: `from` (ours) becomes `to`. 0, 1 and 2 not named here are /dev/null. All others are
  // closed.
  struct Fd {
    int from;
    int to;
  };
  std::vector<Fd> fds;
  bool new_session = false;     // setsid(2)
  int parent_death_signal = 0;  // prctl(PR_SET_PDEATHSIG); 0 = none. It follows the *thread* that spawned.
  std::vector<std::string> cgroup_procs;  // files (cgroup.procs) that the child writes "0" to before exec
  std::optional<int> oom_score_adj;       // best effort: lowering needs CAP_SYS_RESOURCE
  // Unmount this one mount in a mount namespace of the child's own (crun refuses a hybrid host's v2 tree that
  // owns a controller; without that mount it works). Empty = no mount namespace.
  std::string hide_mount;
};

// A child of ours. Does not kill or reap when dropped.
struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Starts a program by vfork + execve. A failure between the two (exec included) is an Error that names the
// stage.
Result<Child> Spawn(const SpawnOptions& options);

// How a process ended.
struct ExitStatus {
  bool signaled = false;
  int code = 0;  // exit code, or the signal's number
  // As shells and kubelet count: the code, or 128 + signal.
  int ShellCode() const { return signaled ? 128 + code : code; }
  std::string ToString() const;  // "exit code 7", "signal 9 (SIGKILL)"
};

// From waitid(2): si_code (CLD_EXITED, CLD_KILLED, CLD_DUMPED) and si_status.
ExitStatus ExitStatusFromSiginfo(int code, int status);
// From wait(2)'s status word.
ExitStatus ExitStatusFromWait(int status);

// Waits for a child by pidfd and reaps it; ETIMEDOUT (child untouched) when the deadline passes first.
Result<ExitStatus> WaitChild(const Child& child, Deadline deadline = Deadline::Never());

struct CommandResult {
  ExitStatus status;
  std::string out;  // at most `output_cap` bytes each; the rest is read and dropped
  std::string err;
};
// Runs a program to its end: feeds `input`, gathers both outputs. At the deadline it is killed (SIGKILL, its
// process group too) and ETIMEDOUT returned. Output held open by a grandchild does not keep this waiting.
Result<CommandResult> RunCommand(SpawnOptions options, const std::string& input, Deadline deadline,
                                 std::size_t output_cap = 1 << 20);

Result<UniqueFd> PidfdOpen(pid_t pid);
// ESRCH: it is gone.
Result<void> PidfdSignal(int pidfd, int signal);
// True once the process has ended (its threads too), whether reaped or not.
bool PidfdExited(int pidfd);
// The exit status of a process that has ended, also from a non-parent: PIDFD_GET_INFO with PIDFD_INFO_EXIT,
// Linux 6.15, only from a pidfd opened before it was reaped. ENOTTY/EOPNOTSUPP where the kernel is older,
// ENODATA while it runs.
Result<ExitStatus> PidfdExitStatus(int pidfd);

// Names a process beyond its pid's reuse: pid + start time (clock ticks after boot, field 22 of
// /proc/pid/stat) + boot id.
struct ProcessIdentity {
  pid_t pid = -1;
  std::uint64_t start_ticks = 0;
  std::string boot_id;
  bool operator==(const ProcessIdentity&) const = default;
};
Result<ProcessIdentity> IdentifyProcess(pid_t pid);
// Opens a pidfd and then verifies that it is still the process meant, and alive; ESRCH when it is another, a
// zombie or gone.
Result<UniqueFd> OpenProcess(const ProcessIdentity& identity);

// The exit status of a process that has ended and was not reaped yet, also from a non-parent: the last field
// of /proc/<pid>/stat (needs ptrace access). ESRCH when it is another or gone, ENODATA while it runs.
Result<ExitStatus> ZombieExitStatus(const ProcessIdentity& identity);

// "SIGTERM" for 15; "signal 77" for unknown ones.
std::string SignalName(int signal);
// "SIGTERM", "term", "15", "SIGRTMIN+3" → number on Linux; nullopt when it names none.
std::optional<int> ParseSignal(const std::string& text);

}  // namespace berth::base
