// SPDX-License-Identifier: Apache-2.0
// One pod sandbox: its record, its containers, its monitor. The steps of its life are in pod_run.cc,
// pod_stop.cc and recovery.cc.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "monitor/client.h"
#include "runtime/activity.h"
#include "runtime/core.h"
#include "runtime/records.h"

namespace berth::runtime {

// Thread safe; held by shared_ptr. No mutex of it is held across fork, wait or IPC: work that must not
// overlap takes the pod's Activity instead.
class Pod : public std::enable_shared_from_this<Pod> {
 public:
  Pod(Core& core, PodRecord record);

  const std::string& id() const { return id_; }
  const PodPlaces& places() const { return places_; }
  Core& core() { return core_; }
  Activity& activity() { return activity_; }

  PodRecord record() const;
  std::shared_ptr<const PodStatus> status() const;
  bool ready() const;
  // READY, unless what it needs went away while it was being made (FAILED_PRECONDITION with what).
  absl::Status BecomeReady();
  // Changes the record in memory, then in the database. Not shown yet: Show() does.
  absl::Status Change(const std::function<void(PodRecord&)>& change);
  // The same for what takes the pod down: a disk that is full keeps nothing from being stopped and removed.
  // What cannot be saved is told in the log and holds in memory; after a crash the host itself says how far
  // it was.
  void Intend(const std::function<void(PodRecord&)>& change);
  void Show();  // puts the status where List and Status see it; nothing once it was hidden
  void Hide();  // it is removed: nobody sees it again, however late a Show comes

  std::vector<std::shared_ptr<Container>> containers() const;
  void Add(const std::shared_ptr<Container>& container);
  void Erase(const std::string& container_id);

  // The connection to the monitor; connects (or starts a new monitor, if the old one is dead and the pod
  // ready) when there is none. UNAVAILABLE with the reason.
  absl::StatusOr<std::shared_ptr<monitor::Client>> Monitor(base::Deadline deadline);
  // The connection that is there, or nullptr: for what is only worth telling a living monitor.
  std::shared_ptr<monitor::Client> ConnectedMonitor() const;
  absl::Status LaunchMonitor(base::Deadline deadline);
  absl::Status ConnectMonitor(base::Deadline deadline);  // OK if it is connected
  void Disconnect();
  // After the connection ended: connects again and looks at what was missed; ends the containers when the
  // monitor is dead. One that lives and does not answer is asked again, later: nothing is taken from it.
  void Reacquire(std::int64_t gap_ns);
  void AskAgain(std::int64_t gap_ns);  // Reacquire after a gap

  // The monitor is dead: ends its containers with what is known of them.
  void MonitorLost();

  // One change of the pod cgroup's limits at a time: what is summed up first must not be written last.
  Activity& limits() { return limits_; }

  // Waits for the end of an exec that was begun through Monitor(); the monitor's disconnection ends the wait
  // with UNAVAILABLE.
  void ExpectExec(const std::string& exec_id);
  absl::StatusOr<monitor::ExecExit> WaitExec(const std::string& exec_id, base::Deadline deadline);
  // Stops expecting: for one that did not begin.
  void ForgetExec(const std::string& exec_id);
  // The exec's end, if it has come; for loops that wait for other things too. `fd` becomes readable then.
  int ExecEventFd(const std::string& exec_id) const;

 private:
  monitor::ClientEvents Events(std::uint64_t connection);
  void OnDisconnected(std::uint64_t connection);
  void HolderLost(const std::string& how);
  // With the turn in connecting_:
  absl::Status Connect(base::Deadline deadline);
  absl::Status Launch(base::Deadline deadline);

  struct ExecWait {
    base::UniqueFd event;  // eventfd: written once when it ended
    std::optional<absl::StatusOr<monitor::ExecExit>> end;
  };

  Core& core_;
  const std::string id_;
  const PodPlaces places_;
  Activity activity_;
  Activity connecting_;
  Activity limits_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  PodRecord record_;
  std::map<std::string, std::shared_ptr<Container>> containers_;
  std::shared_ptr<monitor::Client> client_;  // never dropped with mutex_ held: that waits for its events
  std::uint64_t connection_ = 0;             // number of the newest connection
  bool connection_ended_ = false;
  std::map<std::string, std::shared_ptr<ExecWait>> execs_;
  bool disconnecting_ = false;
  std::string holder_lost_;  // how, once it is
  // Held while a status is read and put: an older one must not come after a newer one. Taken before mutex_.
  std::mutex showing_;
  bool hidden_ = false;
};

}  // namespace berth::runtime
