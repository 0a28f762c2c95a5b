// SPDX-License-Identifier: Apache-2.0
// The facade that cri/ speaks to: pods and containers in our own types. Thread safe. Look-ups never block
// (immutable snapshots); the operations block their caller, so cri/ runs them on an Executor. Errors are
// absl::Status with a sentence for people.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancellation.h"
#include "base/clock.h"
#include "cgroupfs/cgroup.h"
#include "image/image.h"
#include "monitor/client.h"
#include "monitor/exit_record.h"
#include "network/network.h"
#include "runtime/fsck/fsck.h"
#include "runtime/oci/handler.h"
#include "runtime/oci/options.h"
#include "runtime/stdio.h"
#include "runtime/types.h"
#include "store/store.h"

namespace berth::runtime {

struct Options {
  std::string root;   // disk: <root>/pods/<id>/containers/<id>
  std::string state;  // tmpfs: <state>/pods/<id>
  std::string monitor_program;
  std::string cgroup_root;             // "/" or a sub-tree
  oci::ContainerDefaults defaults;     // for every container
  StringMap default_sysctls;           // for every pod that has the namespace of its own
  std::uint64_t shm_bytes = 64 << 20;  // of a pod's /dev/shm
  std::vector<std::string> cdi_dirs;   // later ones win
  std::string apparmor_parser;         // "" = no default profile is loaded
  std::string kernel_log;              // what monitors read for OOM kills; "" = /dev/kmsg
  // Not owned; outlive the Runtime.
  store::Store* store = nullptr;
  image::Images* images = nullptr;
  network::Network* network = nullptr;
  std::shared_ptr<const cgroupfs::Host> cgroups;
  std::shared_ptr<const oci::Handlers> handlers;
  std::shared_ptr<monitor::Hub> hub;  // nullptr: one of its own
};

// All pods and containers at one moment.
struct Snapshot {
  std::vector<std::shared_ptr<const PodStatus>> pods;
  std::vector<std::shared_ptr<const ContainerStatus>> containers;
};

// Whose request an operation serves. When it is cancelled, or shortly before its deadline, the call returns
// with the stage and its age; the operation goes on and its result waits unclaimed for a retry (rule 4).
struct Caller {
  std::shared_ptr<base::Cancellation> cancellation;  // may be null: never
  base::Deadline deadline = base::Deadline::Never();
};

struct ExecResult {
  std::string out, err;  // capped together at 16 MiB - 64 KiB; the rest was drained
  std::int32_t exit_code = 0;
};

struct ContainerStatsView {
  std::shared_ptr<const ContainerStatus> container;
  cgroupfs::Stats stats;
  std::optional<image::FsUsage> writable_layer;
};

// What `berth explain` tells beyond the status.
struct Explanation {
  std::shared_ptr<const PodStatus> pod;
  std::shared_ptr<const ContainerStatus> container;  // null for a pod
  std::optional<monitor::ExitRecord> record;
  std::optional<cgroupfs::Resources> container_limits,
      pod_limits;  // as the kernel has them; unset when the cgroup is gone
  std::optional<cgroupfs::Stats> stats;
  std::vector<std::string> last_log_lines;  // at most 20
};

class Runtime {
 public:
  // Reads the records and begins to recover the pods, in parallel and in the background: look-ups are true
  // from the beginning, and what is asked of a pod that is still being recovered waits for that.
  static absl::StatusOr<std::unique_ptr<Runtime>> Open(Options options);
  virtual ~Runtime() = default;

  // To be held while it is read: `for (… : snapshot()->pods)` lets go of it before the loop (until C++23).
  virtual std::shared_ptr<const Snapshot> snapshot() const = 0;
  // By id or unambiguous prefix. NOT_FOUND, or INVALID_ARGUMENT naming the candidates when ambiguous.
  virtual absl::StatusOr<std::shared_ptr<const PodStatus>> FindPod(const std::string& id) const = 0;
  virtual absl::StatusOr<std::shared_ptr<const ContainerStatus>> FindContainer(
      const std::string& id) const = 0;

  // Joins a running attempt of the same metadata; ALREADY_EXISTS naming the id for a finished one.
  virtual absl::StatusOr<std::string> RunPod(const PodConfig& config, const std::string& handler,
                                             const Caller& caller) = 0;
  virtual absl::Status StopPod(const std::string& id, const Caller& caller) = 0;    // unknown id: OK
  virtual absl::Status RemovePod(const std::string& id, const Caller& caller) = 0;  // unknown id: OK
  virtual absl::Status UpdatePodResources(const std::string& id,
                                          const std::optional<cgroupfs::Resources>& overhead,
                                          const std::optional<cgroupfs::Resources>& resources,
                                          const Caller& caller) = 0;

  virtual absl::StatusOr<std::string> CreateContainer(const std::string& pod_id,
                                                      const ContainerConfig& config,
                                                      const Caller& caller) = 0;
  virtual absl::Status StartContainer(const std::string& id, const Caller& caller) = 0;
  // grace in seconds; 0 = kill now. A later call with a shorter grace takes effect. Returns when the exit is
  // recorded. Unknown: OK.
  virtual absl::Status StopContainer(const std::string& id, std::int64_t grace_s, const Caller& caller) = 0;
  virtual absl::Status RemoveContainer(const std::string& id, const Caller& caller) = 0;  // unknown: OK
  virtual absl::Status UpdateContainerResources(const std::string& id, const cgroupfs::Resources& resources,
                                                const Caller& caller) = 0;
  virtual absl::Status ReopenLog(const std::string& id, const Caller& caller) = 0;
  // DEADLINE_EXCEEDED on time-out (whole tree killed); FAILED_PRECONDITION when not running. timeout_s 0 =
  // none.
  virtual absl::StatusOr<ExecResult> ExecSync(const std::string& id, const std::vector<std::string>& command,
                                              std::int64_t timeout_s, const Caller& caller) = 0;

  // A command whose streams go to a client. FAILED_PRECONDITION when the container is not running.
  virtual absl::StatusOr<std::unique_ptr<Stdio>> Exec(const std::string& id, const StdioRequest& request,
                                                      const Caller& caller) = 0;
  // The container's own streams, from now on.
  virtual absl::StatusOr<std::unique_ptr<Stdio>> Attach(const std::string& id, const StdioRequest& request,
                                                        const Caller& caller) = 0;
  // A TCP socket (not connected, non-blocking) in the pod's network namespace. `family`: AF_INET, AF_INET6.
  virtual absl::StatusOr<base::UniqueFd> PodSocket(const std::string& id, int family) const = 0;

  virtual absl::StatusOr<ContainerStatsView> Stats(const std::string& container_id) const = 0;
  // Running containers only; one that vanishes meanwhile is left out.
  virtual std::vector<ContainerStatsView> AllStats(
      const std::function<bool(const ContainerStatus&)>& wanted) const = 0;
  virtual absl::StatusOr<Explanation> Explain(const std::string& id) const = 0;

  // Compares records and host while it serves (fsck/fsck.h); with `repair`, mends.
  virtual absl::StatusOr<fsck::Report> Fsck(bool repair) = 0;

  // Why pods cannot run at all ("no OCI runtime works: …"); nullopt when they can.
  virtual std::optional<std::string> NotReadyReason() const = 0;
  virtual const Options& options() const = 0;
};

}  // namespace berth::runtime
