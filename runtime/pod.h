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
  // Changes the record in memory, then in the database. Not shown yet: Show() does.
  absl::Status Change(const std::function<void(PodRecord&)>& change);
  void Show();  // puts the status where List and Status see it

  std::vector<std::shared_ptr<Container>> containers() const;
  void Add(const std::shared_ptr<Container>& container);
  void Erase(const std::string& container_id);

  // The connection to the monitor; connects (or starts a new monitor, if the old one is dead and the pod
  // ready) when there is none. UNAVAILABLE with the reason.
  absl::StatusOr<std::shared_ptr<monitor::Client>> Monitor(base::Deadline deadline);
  // The connection that is there, or nullptr: for what is only worth telling a living monitor.
  std::shared_ptr<monitor::Client> ConnectedMonitor() const;
  absl::Status LaunchMonitor(base::Deadline deadline);
  absl::Status ConnectMonitor(base::Deadline deadline);
  void Disconnect();

  // Waits for the end of an exec that was begun through Monitor(); the monitor's disconnection ends the wait
  // with UNAVAILABLE.
  void ExpectExec(const std::string& exec_id);
  absl::StatusOr<monitor::ExecExit> WaitExec(const std::string& exec_id, base::Deadline deadline);
  // Stops expecting: for one that did not begin.
  void ForgetExec(const std::string& exec_id);
  // The exec's end, if it has come; for loops that wait for other things too. `fd` becomes readable then.
  int ExecEventFd(const std::string& exec_id) const;

 private:
  monitor::ClientEvents Events();
  void OnDisconnected();
  void MonitorLost();

  struct ExecWait {
    base::UniqueFd event;  // eventfd: written once when it ended
    std::optional<absl::StatusOr<monitor::ExecExit>> end;
  };

  Core& core_;
  const std::string id_;
  const PodPlaces places_;
  Activity activity_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  PodRecord record_;
  std::map<std::string, std::shared_ptr<Container>> containers_;
  std::shared_ptr<monitor::Client> client_;
  std::map<std::string, std::shared_ptr<ExecWait>> execs_;
  bool disconnecting_ = false;
};

}  // namespace berth::runtime
