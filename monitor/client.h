// SPDX-License-Identifier: Apache-2.0
// berthd's side of the monitor protocol. One I/O thread (epoll) serves all monitors. Library
// berth_monitor_client (links base).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "monitor/messages.h"
#include "monitor/user_namespace.h"

namespace berth::monitor {

struct ExecExit {
  std::string exec_id;
  std::int32_t exit_code = 0;
  bool signaled = false;
  int signal = 0;
  bool oom_killed = false;
};

struct Started {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  std::int64_t started_at = 0;
};

struct ListedContainer {
  std::string id, state;  // "starting", "running", "exited"
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  std::int64_t started_at = 0;
};
struct Listed {
  std::vector<ListedContainer> containers;
  std::optional<base::ProcessIdentity> holder;
};

// Called on the I/O thread: be quick, hand over to an executor. None is called after the client's destructor
// returned.
struct ClientEvents {
  std::function<void(const std::string& container_id)> exited;
  std::function<void(const ExecExit&)> exec_exited;
  std::function<void(const std::string& how)> holder_exited;
  std::function<void(const std::string& container_id, std::uint64_t bytes)> log_dropped;
  // The connection ended (monitor dead, or Close()): once. Calls that wait get UNAVAILABLE.
  std::function<void()> disconnected;
};

// One connection to one pod's monitor. Thread safe; calls block until the reply, the deadline
// (DEADLINE_EXCEEDED: the monitor may still do it) or the end of the connection (UNAVAILABLE). Error replies:
// unsupported → UNIMPLEMENTED, invalid → INVALID_ARGUMENT, not_found → NOT_FOUND, not_running →
// FAILED_PRECONDITION, start_failed → ABORTED, exec_failed → ABORTED, busy → FAILED_PRECONDITION, failed →
// INTERNAL.
class Client {
 public:
  virtual ~Client() = default;
  virtual absl::StatusOr<base::ProcessIdentity> Holder(const HolderRequest& request,
                                                       base::Deadline deadline) = 0;
  virtual absl::StatusOr<Started> Start(const StartRequest& request, base::Deadline deadline) = 0;
  virtual absl::Status Signal(const SignalRequest& request, base::Deadline deadline) = 0;
  virtual absl::Status Kill(const KillRequest& request, base::Deadline deadline) = 0;
  // fds: stdin (if has_stdin), stdout, stderr; borrowed for the call. With tty: none; the master is returned.
  // CANCELLED once `cancellation` (may be null) is: the exec may begin all the same, ExecKill ends it.
  virtual absl::StatusOr<base::UniqueFd> Exec(const ExecRequest& request, const std::vector<int>& fds,
                                              base::Deadline deadline,
                                              const std::shared_ptr<base::Cancellation>& cancellation) = 0;
  absl::StatusOr<base::UniqueFd> Exec(const ExecRequest& request, const std::vector<int>& fds,
                                      base::Deadline deadline) {
    return Exec(request, fds, deadline, nullptr);
  }
  virtual absl::Status ExecKill(const std::string& exec_id, base::Deadline deadline) = 0;
  // fds as the request's flags say; borrowed for the call. With a terminal its master is returned.
  virtual absl::StatusOr<base::UniqueFd> Attach(const AttachRequest& request, const std::vector<int>& fds,
                                                base::Deadline deadline) = 0;
  virtual absl::Status AttachInputLast(const AttachInputLastRequest& request, base::Deadline deadline) = 0;
  virtual absl::Status ReopenLog(const std::string& container_id, base::Deadline deadline) = 0;
  virtual absl::Status Update(const std::string& container_id, std::optional<std::int64_t> memory_limit_bytes,
                              base::Deadline deadline) = 0;
  virtual absl::StatusOr<Listed> List(base::Deadline deadline) = 0;
  virtual absl::Status Forget(const std::string& container_id, base::Deadline deadline) = 0;
  virtual absl::Status Shutdown(base::Deadline deadline) = 0;
  virtual int version() const = 0;  // agreed in hello
  virtual pid_t monitor_pid() const = 0;
};

struct LaunchOptions {
  std::string program;  // berth-monitor
  std::string pod_id;
  std::string pod_dir;                    // state directory of the pod, 0700: socket, monitor.pid
  std::string log_file;                   // the monitor's own few words
  std::vector<std::string> cgroup_procs;  // the monitors' own cgroup
  std::optional<int> oom_score_adj;
  std::string kmsg_path;  // kernel log to read; "" = /dev/kmsg
};

// All that berthd has to do with monitors before it speaks to one: an interface, so that tests stand in for
// them. The I/O thread. Outlives its clients.
class Hub {
 public:
  static absl::StatusOr<std::unique_ptr<Hub>> Start();
  virtual ~Hub() = default;
  // Connects to <pod_dir>/monitor.sock (any length of path: through /proc/self/fd) and says hello.
  virtual absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& pod_dir, ClientEvents events,
                                                          base::Deadline deadline) = 0;
  // As the function below.
  virtual absl::StatusOr<base::ProcessIdentity> Launch(const LaunchOptions& options,
                                                       base::Deadline deadline) = 0;
};

// Starts a monitor in a session of its own and returns when it listens. It stays when we die.
absl::StatusOr<base::ProcessIdentity> Launch(const LaunchOptions& options, base::Deadline deadline);

// The monitor's `pin` mode, a single-threaded helper that ends before this returns.
struct PinOptions {
  std::string program;
  std::string dir;  // pins become <dir>/net, <dir>/ipc, <dir>/uts (only those asked for)
  bool net = true, ipc = true, uts = true;
  // A user namespace, pinned as <dir>/user, in which the others are made.
  std::optional<UserMap> user;
  std::string hostname;                                      // set in the uts namespace when not empty
  std::vector<std::pair<std::string, std::string>> sysctls;  // dotted names; written inside the namespaces
};
// Errors name the step and the kernel's answer, e.g. "unshare the network namespace: Operation not
// permitted". On failure no pin is left.
absl::Status Pin(const PinOptions& options, base::Deadline deadline);
// Unmounts and removes the pins in `dir` (missing ones are fine).
absl::Status Unpin(const std::string& dir);

}  // namespace berth::monitor
