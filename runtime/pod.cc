// SPDX-License-Identifier: Apache-2.0
#include "runtime/pod.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/container.h"
#include "runtime/monitors.h"

namespace berth::runtime {

Pod::Pod(Core& core, PodRecord record)
    : core_(core),
      id_(record.status.id),
      places_(core.options, record.status.id),
      record_(std::move(record)) {}

PodRecord Pod::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

std::shared_ptr<const PodStatus> Pod::status() const {
  const std::lock_guard lock(mutex_);
  return std::make_shared<PodStatus>(record_.status);
}

bool Pod::ready() const {
  const std::lock_guard lock(mutex_);
  return record_.stage == PodStage::kReady && record_.status.state == PodState::kReady;
}

absl::Status Pod::Change(const std::function<void(PodRecord&)>& change) {
  {
    const std::lock_guard lock(mutex_);
    change(record_);
  }
  return core_.options.store->Write(
      [this](store::Transaction& transaction) { return transaction.UpdatePod(id_, Encode(record())); });
}

void Pod::Show() { core_.table.Put(status()); }

std::vector<std::shared_ptr<Container>> Pod::containers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Container>> all;
  for (const auto& [id, container] : containers_) all.push_back(container);
  return all;
}

void Pod::Add(const std::shared_ptr<Container>& container) {
  const std::lock_guard lock(mutex_);
  containers_[container->id()] = container;
}

void Pod::Erase(const std::string& container_id) {
  const std::lock_guard lock(mutex_);
  containers_.erase(container_id);
}

absl::Status Pod::LaunchMonitor(base::Deadline deadline) {
  BERTH_ASSIGN_OR_RETURN(auto options, MonitorLaunchOptions(core_, *this));
  BERTH_FAULT_POINT("runtime.monitor_launch");
  auto launched = monitor::Launch(options, deadline);
  if (!launched.ok()) return base::Annotate(launched.status(), "start the monitor");
  BERTH_FAULT_POINT("runtime.monitor_launched");
  BERTH_RETURN_IF_ERROR(Change([&](PodRecord& record) { record.monitor = *launched; }));
  return ConnectMonitor(deadline);
}

absl::Status Pod::ConnectMonitor(base::Deadline deadline) {
  auto client = core_.hub->Connect(places_.state, Events(), deadline);
  if (!client.ok()) return base::Annotate(client.status(), "connect to the monitor");
  const std::lock_guard lock(mutex_);
  client_ = std::move(*client);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<monitor::Client>> Pod::Monitor(base::Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (client_ != nullptr) return client_;
  }
  absl::Status connected = ConnectMonitor(deadline);
  if (!connected.ok() && ready() && !base::OpenProcess(record().monitor).ok())
    connected = LaunchMonitor(deadline);
  if (!connected.ok()) return base::WithCode(absl::StatusCode::kUnavailable, connected);
  const std::lock_guard lock(mutex_);
  if (client_ == nullptr) return absl::UnavailableError("the monitor is gone");
  return client_;
}

std::shared_ptr<monitor::Client> Pod::ConnectedMonitor() const {
  const std::lock_guard lock(mutex_);
  return client_;
}

void Pod::Disconnect() {
  std::shared_ptr<monitor::Client> client;
  {
    const std::lock_guard lock(mutex_);
    disconnecting_ = true;
    client = std::move(client_);
  }
  // Dropped here, outside the lock: its destructor waits for the events that are under way.
}

monitor::ClientEvents Pod::Events() {
  // On the hub's thread: only hand over. The pod may be gone by the time the work runs.
  const std::weak_ptr<Pod> self = weak_from_this();
  Core* core = &core_;
  monitor::ClientEvents events;
  events.exited = [self, core](const std::string& container_id) {
    core->executor.Submit([self, container_id] {
      const auto pod = self.lock();
      if (pod == nullptr) return;
      for (const auto& container : pod->containers()) {
        if (container->id() == container_id) AfterExit(*container);
      }
    });
  };
  events.exec_exited = [self](const monitor::ExecExit& end) {
    const auto pod = self.lock();
    if (pod == nullptr) return;
    const std::lock_guard lock(pod->mutex_);
    const auto wait = pod->execs_.find(end.exec_id);
    if (wait == pod->execs_.end()) return;
    wait->second->end = end;
    (void)::eventfd_write(wait->second->event.get(), 1);
    pod->changed_.notify_all();
  };
  events.holder_exited = [self, core](const std::string& how) {
    core->executor.Submit([self, how] {
      const auto pod = self.lock();
      if (pod == nullptr || !pod->ready()) return;
      const std::string message = absl::StrCat("the process that holds the pod's PID namespace ended: ", how);
      base::LogError("pod is not ready any more", {{"pod", pod->id()}, {"why", message}});
      (void)pod->Change([&](PodRecord& record) {
        record.status.state = PodState::kNotReady;
        record.status.message = message;
      });
      pod->Show();
    });
  };
  events.log_dropped = [self](const std::string& container_id, std::uint64_t bytes) {
    base::LogWarning("log bytes dropped: the log file cannot be written",
                     {{"container", container_id}, {"bytes", bytes}});
  };
  events.disconnected = [self, core] {
    core->executor.Submit([self] {
      if (const auto pod = self.lock(); pod != nullptr) pod->OnDisconnected();
    });
  };
  return events;
}

void Pod::OnDisconnected() {
  {
    const std::lock_guard lock(mutex_);
    client_ = nullptr;
    for (auto& [id, wait] : execs_) {
      if (!wait->end) wait->end = absl::UnavailableError("the monitor is gone");
      (void)::eventfd_write(wait->event.get(), 1);
    }
    changed_.notify_all();
    if (disconnecting_) return;
  }
  const PodRecord now = record();
  if (now.stage != PodStage::kReady && now.stage != PodStage::kCreating) return;  // we sent it home
  constexpr std::int64_t kPatienceNs = 5 * base::kSecondNs;
  if (base::OpenProcess(now.monitor).ok() && ConnectMonitor(base::Deadline::After(kPatienceNs)).ok()) {
    for (const auto& container : containers()) {
      if (container->ReadEnd()) AfterExit(*container);
    }
    return;
  }
  MonitorLost();
}

void Pod::MonitorLost() {
  base::LogError("the pod's monitor is lost; ending its containers", {{"pod", id_}});
  for (const auto& container : containers()) {
    if (container->state() == ContainerState::kRunning) EndLostContainer(core_, *container);
  }
}

void Pod::ExpectExec(const std::string& exec_id) {
  auto wait = std::make_shared<ExecWait>();
  wait->event.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::lock_guard lock(mutex_);
  execs_[exec_id] = std::move(wait);
}

void Pod::ForgetExec(const std::string& exec_id) {
  const std::lock_guard lock(mutex_);
  execs_.erase(exec_id);
}

int Pod::ExecEventFd(const std::string& exec_id) const {
  const std::lock_guard lock(mutex_);
  const auto wait = execs_.find(exec_id);
  return wait == execs_.end() ? -1 : wait->second->event.get();
}

absl::StatusOr<monitor::ExecExit> Pod::WaitExec(const std::string& exec_id, base::Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto at = execs_.find(exec_id);
  if (at == execs_.end()) return absl::InternalError("nobody expects this exec");
  const std::shared_ptr<ExecWait> wait = at->second;
  while (!wait->end) {
    if (deadline.never()) {
      changed_.wait(lock);
    } else {
      if (deadline.Passed()) return absl::DeadlineExceededError("the exec goes on");
      changed_.wait_for(
          lock, std::chrono::nanoseconds(std::max<std::int64_t>(deadline.at_ns() - base::MonotonicNs(), 0)));
    }
  }
  execs_.erase(exec_id);
  return *wait->end;
}

}  // namespace berth::runtime
