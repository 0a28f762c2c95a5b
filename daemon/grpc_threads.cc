// SPDX-License-Identifier: Apache-2.0
#include "daemon/grpc_threads.h"

#include <grpc/grpc.h>
#include <grpc/support/cpu.h>
#include <grpcpp/alarm.h>

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/status.h"

namespace berth::daemon {
namespace {

constexpr unsigned kThreadsPerCpu = 2;       // of the executor, at most
constexpr unsigned kAlarmsPerThread = 4;     // more than two that wait for one thread make gRPC add another
constexpr char kName[] = "default-executo";  // as the kernel shows it

absl::StatusOr<unsigned> CountThreads() {
  BERTH_ASSIGN_OR_RETURN(const auto tasks, base::ToStatusOr(base::ListDir("/proc/self/task")));
  unsigned count = 0;
  for (const auto& task : tasks) {
    const auto name = base::ReadFile(absl::StrCat("/proc/self/task/", task, "/comm"));
    if (name.ok() && *name == absl::StrCat(kName, "\n")) ++count;
  }
  return count;
}

// Holds whoever waits until it is opened; knows when all have left.
class Gate {
 public:
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
    --expected_;
    changed_.notify_all();
  }
  void Expect() {
    const std::lock_guard lock(mutex_);
    ++expected_;
  }
  void OpenAndWaitForAll() {
    std::unique_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return expected_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int expected_ = 0;
};

}  // namespace

absl::Status ReserveGrpcThreads() {
  grpc_init();
  const unsigned wanted = kThreadsPerCpu * gpr_cpu_num_cores();
  // Alarms with a function run it on the executor: those that are due already pile up there behind the gate.
  // Kept when it goes wrong: what waits for a thread that is not there still points to them.
  struct Pile {
    Gate gate;
    std::list<grpc::Alarm> alarms;
  };
  auto pile = std::make_unique<Pile>();
  const auto due = std::chrono::system_clock::now() - std::chrono::seconds(1);
  for (unsigned i = 0; i < wanted * kAlarmsPerThread; ++i) {
    pile->gate.Expect();
    pile->alarms.emplace_back().Set(due, [gate = &pile->gate](bool) { gate->Wait(); });
  }
  // A thread has its name a moment after it was made.
  absl::StatusOr<unsigned> there = 0U;
  const base::Deadline deadline = base::Deadline::After(5 * base::kSecondNs);
  while ((there = CountThreads()).ok() && *there < wanted && !deadline.Passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // nobody tells of a thread's beginning
  if (there.ok() && *there >= wanted) {
    pile->gate.OpenAndWaitForAll();
    return absl::OkStatus();
  }
  (void)pile.release();
  BERTH_RETURN_IF_ERROR(there.status());
  return absl::ResourceExhaustedError(
      absl::StrCat("the node gives gRPC ", *there, " of ", wanted,
                   " threads (its limit of processes is reached, see pids.max and kernel.threads-max)"));
}

}  // namespace berth::daemon
