// SPDX-License-Identifier: Apache-2.0
#include "runtime/container.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/pod.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {

Container::Container(Core& core, std::shared_ptr<Pod> pod, ContainerRecord record)
    : core_(core),
      id_(record.status.id),
      pod_(std::move(pod)),
      places_(core.options, record.status.pod_id, record.status.id),
      record_(std::move(record)),
      end_shown_(record_.status.state == ContainerState::kExited) {
  if (record_.init.pid > 0) {
    if (auto pidfd = base::OpenProcess(record_.init); pidfd.ok()) init_pidfd_ = std::move(*pidfd);
  }
}

ContainerRecord Container::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

std::shared_ptr<const ContainerStatus> Container::status() const {
  const std::lock_guard lock(mutex_);
  return std::make_shared<ContainerStatus>(record_.status);
}

ContainerState Container::state() const {
  const std::lock_guard lock(mutex_);
  return record_.status.state;
}

absl::Status Container::Change(const std::function<void(ContainerRecord&)>& change) {
  {
    const std::lock_guard lock(mutex_);
    change(record_);
    if (record_.stub) return absl::OkStatus();
  }
  return Save();
}

void Container::Intend(const std::function<void(ContainerRecord&)>& change) {
  if (const auto saved = Change(change); !saved.ok())
    base::LogError("could not save how far a container is; going on", {{"container", id_}, {"error", saved}});
}

absl::Status Container::Save() {
  // The newest record is written, whoever's turn it is: an older one never overwrites it.
  const absl::Status saved = core_.options.store->Write(
      [this](store::Transaction& transaction) { return transaction.UpdateContainer(id_, Encode(record())); });
  // To kubelet NOT_FOUND would mean another thing than that somebody removes it just now.
  if (absl::IsNotFound(saved))
    return absl::AbortedError(absl::StrCat("container '", id_, "' was removed meanwhile"));
  return saved;
}

void Container::Show() {
  const std::lock_guard turn(showing_);
  if (!hidden_) core_.table.Put(status());
}

void Container::Hide() {
  const std::lock_guard turn(showing_);
  hidden_ = true;
  core_.table.EraseContainer(id_);
}

void Container::Began(const base::ProcessIdentity& init, std::int64_t started_at) {
  auto pidfd = base::OpenProcess(init);
  {
    const std::lock_guard lock(mutex_);
    if (record_.status.state == ContainerState::kExited) return;
    if (pidfd.ok()) init_pidfd_ = std::move(*pidfd);
  }
  const auto saved = Change([&](ContainerRecord& record) {
    if (record.status.state == ContainerState::kExited) return;
    record.stage = ContainerStage::kRunning;
    record.init = init;
    record.status.state = ContainerState::kRunning;
    record.status.pid = init.pid;
    record.status.started_at = started_at;
  });
  if (!saved.ok())
    base::LogError("could not save that a container runs", {{"container", id_}, {"error", saved}});
  Show();
}

void Container::Ended(const monitor::ExitRecord& end) {
  {
    std::unique_lock lock(mutex_);
    if (record_.status.state == ContainerState::kExited) {
      // Whoever was first is about to show it; who asked may rely on its being seen.
      changed_.wait(lock, [this] { return end_shown_; });
      return;
    }
    record_.stage = ContainerStage::kExited;
    record_.status.state = ContainerState::kExited;
    record_.status.pid = 0;
    if (end.started_at != 0) record_.status.started_at = end.started_at;
    // kubelet wants a start time of everything that is not CREATED, also of what never ran.
    if (record_.status.started_at == 0) record_.status.started_at = end.finished_at;
    record_.status.exit = ContainerExit{end.exit_code, end.reason, end.message, end.finished_at};
  }
  UnmountMapped(places_);  // a start that was cut off by a death of ours
  // The exit record is on disk; the database may lag: recovery reads the file first.
  Show();
  {
    const std::lock_guard lock(mutex_);
    end_shown_ = true;
    changed_.notify_all();
  }
  if (const auto saved = Save(); !saved.ok())
    base::LogError("could not save how a container ended", {{"container", id_}, {"error", saved}});
  base::LogInfo("container ended", {{"container", id_},
                                    {"pod", pod_->id()},
                                    {"exit_code", end.exit_code},
                                    {"reason", end.reason},
                                    {"message", end.message}});
}

bool Container::ReadEnd() {
  auto end = monitor::ReadExitRecord(places_.record_dir, places_.state);
  if (!end.ok()) {
    if (!base::IsGone(end.error().err))
      base::LogError("unreadable exit record", {{"container", id_}, {"error", end.error().Message()}});
    return false;
  }
  Ended(*end);
  return true;
}

void Container::EndWithoutMonitor(const LostEnd& lost) {
  {
    std::unique_lock lock(mutex_);
    if (std::exchange(ending_, true) || record_.status.state == ContainerState::kExited) {
      changed_.wait(lock, [this] { return end_shown_; });
      return;
    }
  }
  if (ReadEnd()) return;  // the monitor's own word, written at the last moment
  const ContainerRecord now = record();
  monitor::ExitRecord end;
  end.container_id = id_;
  end.pod_id = pod_->id();
  end.pid = now.status.pid;
  end.boot_id = now.boot_id;
  end.started_at = now.status.started_at;
  end.finished_at =
      std::max(lost.finished_at != 0 ? lost.finished_at : base::RealtimeNs(), now.status.started_at);
  end.duration_ns = now.status.started_at == 0 ? 0 : end.finished_at - now.status.started_at;
  end.exit_code = lost.exit_code;
  end.reason = lost.reason;
  end.message = lost.message;
  if (lost.status) {
    end.exit_code = lost.status->ShellCode();
    end.signaled = lost.status->signaled;
    end.signal = lost.status->signaled ? lost.status->code : 0;
    end.reason = end.exit_code == 0 ? "Completed" : "Error";
  }
  BERTH_FAULT_POINT("runtime.exit_record_without_monitor");
  const std::string path = places_.record_dir + "/" + monitor::kExitRecordName;
  (void)base::MakeDirs(places_.record_dir);
  if (auto written = base::WriteFileDurable(path, monitor::ToJson(end)); !written.ok()) {
    base::LogError("could not write an exit record; it is kept beside the socket until the next boot",
                   {{"container", id_}, {"error", written.error().Message()}});
    end.durable = false;
    (void)base::MakeDirs(places_.state);
    (void)base::WriteFile(places_.state + "/" + monitor::kExitRecordName, monitor::ToJson(end));
  }
  Ended(end);
}

bool Container::WaitEnded(base::Deadline deadline) const {
  std::unique_lock lock(mutex_);
  const auto ended = [this] { return end_shown_; };
  if (deadline.never()) {
    changed_.wait(lock, ended);
    return true;
  }
  return changed_.wait_for(
      lock, std::chrono::nanoseconds(std::max<std::int64_t>(deadline.at_ns() - base::MonotonicNs(), 0)),
      ended);
}

void Container::ShortenGrace(base::Deadline end) {
  const std::lock_guard lock(mutex_);
  if (grace_until_ns_ && end.at_ns() >= *grace_until_ns_) return;
  grace_until_ns_ = end.at_ns();
  changed_.notify_all();  // those with a longer grace look again
}

std::int64_t Container::GraceLeftNs() const {
  const std::lock_guard lock(mutex_);
  return grace_until_ns_ ? std::max<std::int64_t>(*grace_until_ns_ - base::MonotonicNs(), 0) : 0;
}

Container::Grace Container::WaitGrace() {
  std::unique_lock lock(mutex_);
  while (!end_shown_) {
    if (interrupted_) return Grace::kInterrupted;
    const std::int64_t left = grace_until_ns_ ? *grace_until_ns_ - base::MonotonicNs() : 0;
    if (left <= 0) return Grace::kOver;
    changed_.wait_for(lock, std::chrono::nanoseconds(left));
  }
  return Grace::kEnded;
}

void Container::Interrupt() {
  const std::lock_guard lock(mutex_);
  interrupted_ = true;
  changed_.notify_all();
}

bool Container::ClaimSignal() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(signalled_, true);
}

void Container::ReleaseSignal() {
  const std::lock_guard lock(mutex_);
  signalled_ = false;
}

int Container::init_pidfd() const {
  const std::lock_guard lock(mutex_);
  return init_pidfd_.get();
}

}  // namespace berth::runtime
