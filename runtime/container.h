// SPDX-License-Identifier: Apache-2.0
// One container: its record and the wait for its end. The steps of its life are in container_create.cc,
// container_start.cc, container_stop.cc.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "monitor/exit_record.h"
#include "runtime/activity.h"
#include "runtime/core.h"
#include "runtime/records.h"

namespace berth::runtime {

// Thread safe; held by shared_ptr.
class Container : public std::enable_shared_from_this<Container> {
 public:
  Container(Core& core, std::shared_ptr<Pod> pod, ContainerRecord record);

  const std::string& id() const { return id_; }
  const std::shared_ptr<Pod>& pod() const { return pod_; }
  const ContainerPlaces& places() const { return places_; }
  Activity& activity() { return activity_; }

  ContainerRecord record() const;
  std::shared_ptr<const ContainerStatus> status() const;
  ContainerState state() const;
  absl::Status Change(const std::function<void(ContainerRecord&)>& change);
  void Show();

  // The process began. Nothing if its end was seen first.
  void Began(const base::ProcessIdentity& init, std::int64_t started_at);
  // The end, from the record on disk. The first one counts; later ones change nothing.
  void Ended(const monitor::ExitRecord& record);
  // Reads the record from disk and calls Ended; false if there is none.
  bool ReadEnd();
  // When the monitor cannot tell any more: asks the kernel (pidfd), else `why`; writes the record itself. The
  // process must be dead.
  void EndWithoutMonitor(const std::string& why);

  // Waits until EXITED; false when the deadline passed.
  bool WaitEnded(base::Deadline deadline) const;

  // Deadlines of stops that run at the same time: the earliest counts.
  // Returns when the container ended (true) or when the earliest deadline of all stops passed (false).
  bool WaitGrace(base::Deadline deadline);
  // True for the first stop that asks since the container began: it sends the signal. ReleaseSignal: it could
  // not.
  bool ClaimSignal();
  void ReleaseSignal();

  int init_pidfd() const;  // -1 when unknown

 private:
  Core& core_;
  const std::string id_;
  const std::shared_ptr<Pod> pod_;
  const ContainerPlaces places_;
  Activity activity_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  ContainerRecord record_;
  base::UniqueFd init_pidfd_;
  std::optional<std::int64_t> grace_until_ns_;
  bool signalled_ = false;
};

}  // namespace berth::runtime
