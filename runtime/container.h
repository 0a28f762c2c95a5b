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
  // In memory, then in the database. ABORTED when the container was removed meanwhile.
  absl::Status Change(const std::function<void(ContainerRecord&)>& change);
  // The same for what takes the container down, as Pod::Intend.
  void Intend(const std::function<void(ContainerRecord&)>& change);
  // Puts the status of this moment where List and Status see it; nothing once it was hidden.
  void Show();
  // It is removed: nobody sees it again, however late a Show comes.
  void Hide();

  // The process began. Nothing if its end was seen first.
  void Began(const base::ProcessIdentity& init, std::int64_t started_at);
  // The end, from the record on disk. The first one counts; later ones change nothing.
  void Ended(const monitor::ExitRecord& record);
  // Reads the record from disk and calls Ended; false if there is none.
  bool ReadEnd();
  // An end that no monitor can tell. `finished_at` 0: now. `status`: what the kernel knew; it wins.
  struct LostEnd {
    std::string message;
    std::int64_t finished_at = 0;
    std::optional<base::ExitStatus> status;
    std::int32_t exit_code = 137;
    std::string reason = "Error";
  };
  // Writes the record itself, unless there is one: the first counts, also of two callers at once. The process
  // must be dead, and no monitor may write any more.
  void EndWithoutMonitor(const LostEnd& lost);

  // Waits until everybody can see EXITED; false when the deadline passed.
  bool WaitEnded(base::Deadline deadline) const;

  // Graces of stops that run at the same time: the earliest end counts, for all of them.
  void ShortenGrace(base::Deadline end);
  enum class Grace { kEnded, kOver, kInterrupted };
  // Waits until the container ended, the grace is over (at once if nobody gave one), or Interrupt().
  Grace WaitGrace();
  std::int64_t GraceLeftNs() const;
  // berthd goes: whoever waits for a grace lets it be; the next berthd's caller asks again.
  void Interrupt();
  // True for the first stop that asks since the container began: it sends the signal. ReleaseSignal: it could
  // not.
  bool ClaimSignal();
  void ReleaseSignal();

  int init_pidfd() const;  // -1 when unknown

 private:
  absl::Status Save();

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
  bool interrupted_ = false;
  bool signalled_ = false;
  bool ending_ = false;     // somebody writes a record in place of the monitor
  bool end_shown_ = false;  // EXITED is in the table
  // Held while a status is read and put: an older one must not come after a newer one. Taken before mutex_.
  std::mutex showing_;
  bool hidden_ = false;
};

}  // namespace berth::runtime
