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

absl::Status Pod::BecomeReady() {
  std::string lost;
  const absl::Status saved = Change([&](PodRecord& record) {
    lost = holder_lost_;
    if (!lost.empty()) return;
    record.stage = PodStage::kReady;
    record.status.state = PodState::kReady;
  });
  return lost.empty() ? saved : absl::FailedPreconditionError(lost);
}

absl::Status Pod::Change(const std::function<void(PodRecord&)>& change) {
  {
    const std::lock_guard lock(mutex_);
    change(record_);
    if (record_.stub) return absl::OkStatus();
  }
  const absl::Status saved = core_.options.store->Write(
      [this](store::Transaction& transaction) { return transaction.UpdatePod(id_, Encode(record())); });
  // To kubelet NOT_FOUND would mean another thing than that somebody removes it just now.
  if (absl::IsNotFound(saved))
    return absl::AbortedError(absl::StrCat("pod '", id_, "' was removed meanwhile"));
  return saved;
}

void Pod::Intend(const std::function<void(PodRecord&)>& change) {
  if (const auto saved = Change(change); !saved.ok())
    base::LogError("could not save how far a pod is; going on", {{"pod", id_}, {"error", saved}});
}

void Pod::Show() {
  const std::lock_guard turn(showing_);
  if (!hidden_) core_.table.Put(status());
}

void Pod::Hide() {
  const std::lock_guard turn(showing_);
  hidden_ = true;
  core_.table.ErasePod(id_);
}

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

absl::Status Pod::Launch(base::Deadline deadline) {
  BERTH_ASSIGN_OR_RETURN(auto options, MonitorLaunchOptions(core_, *this));
  BERTH_FAULT_POINT("runtime.monitor_launch");
  auto launched = core_.hub->Launch(options, deadline);
  if (!launched.ok()) return base::Annotate(launched.status(), "start the monitor");
  BERTH_FAULT_POINT("runtime.monitor_launched");
  BERTH_RETURN_IF_ERROR(Change([&](PodRecord& record) { record.monitor = *launched; }));
  return Connect(deadline);
}

absl::Status Pod::Connect(base::Deadline deadline) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (client_ != nullptr) return absl::OkStatus();
    number = ++connection_;
    connection_ended_ = false;
  }
  auto client = core_.hub->Connect(places_.state, Events(number), deadline);
  if (!client.ok()) return base::Annotate(client.status(), "connect to the monitor");
  const pid_t pid = (*client)->monitor_pid();
  {
    const std::lock_guard lock(mutex_);
    // It may have ended already; nobody would ever be told of that again.
    if (!connection_ended_) client_ = std::move(*client);
  }
  if (*client != nullptr) return absl::UnavailableError("connect to the monitor: it hung up at once");
  // One that was launched just before a crash is not in the record.
  if (pid > 0 && pid != record().monitor.pid) {
    if (const auto identity = base::IdentifyProcess(pid); identity.ok())
      return Change([&](PodRecord& record) { record.monitor = *identity; });
  }
  return absl::OkStatus();
}

absl::Status Pod::LaunchMonitor(base::Deadline deadline) {
  const auto turn = connecting_.Begin("connect", deadline);
  return turn.ok() ? Launch(deadline) : turn.status();
}

absl::Status Pod::ConnectMonitor(base::Deadline deadline) {
  const auto turn = connecting_.Begin("connect", deadline);
  return turn.ok() ? Connect(deadline) : turn.status();
}

absl::StatusOr<std::shared_ptr<monitor::Client>> Pod::Monitor(base::Deadline deadline) {
  if (auto client = ConnectedMonitor(); client != nullptr) return client;
  const auto turn = connecting_.Begin("connect", deadline);
  if (!turn.ok()) return base::WithCode(absl::StatusCode::kUnavailable, turn.status());
  absl::Status connected = Connect(deadline);
  if (!connected.ok() && ready() && MonitorGone(core_, *this)) {
    MonitorLost();  // first: the new one knows nothing of the old one's containers
    connected = Launch(deadline);
  }
  if (!connected.ok()) return base::WithCode(absl::StatusCode::kUnavailable, connected);
  auto client = ConnectedMonitor();
  if (client == nullptr) return absl::UnavailableError("the monitor is gone");
  return client;
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

monitor::ClientEvents Pod::Events(std::uint64_t connection) {
  // On the hub's thread: only hand over. The pod may be gone by the time the work runs.
  const std::weak_ptr<Pod> self = weak_from_this();
  Core* core = &core_;
  monitor::ClientEvents events;
  events.exited = [core](const std::string& container_id) {
    core->events.Submit([core, container_id] { TakeExit(*core, container_id); });
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
    core->events.Submit([self, how] {
      if (const auto pod = self.lock(); pod != nullptr) pod->HolderLost(how);
    });
  };
  events.log_dropped = [](const std::string& container_id, std::uint64_t bytes) {
    base::LogWarning("log bytes dropped: the log file cannot be written",
                     {{"container", container_id}, {"bytes", bytes}});
  };
  events.disconnected = [self, core, connection] {
    core->events.Submit([self, connection] {
      if (const auto pod = self.lock(); pod != nullptr) pod->OnDisconnected(connection);
    });
  };
  return events;
}

void Pod::HolderLost(const std::string& how) {
  const std::string message = absl::StrCat("the process that holds the pod's PID namespace ended: ", how);
  {
    const std::lock_guard lock(mutex_);
    holder_lost_ = message;  // one that is being made never becomes READY
    if (record_.stage != PodStage::kReady || record_.status.state != PodState::kReady) return;
  }
  base::LogError("a pod is not ready any more", {{"pod", id_}, {"why", message}});
  Intend([&](PodRecord& record) {
    record.status.state = PodState::kNotReady;
    record.status.message = message;
  });
  Show();
}

void Pod::OnDisconnected(std::uint64_t connection) {
  std::shared_ptr<monitor::Client> gone;
  {
    const std::lock_guard lock(mutex_);
    if (connection != connection_) return;  // there is a newer one
    connection_ended_ = true;
    gone = std::move(client_);
    for (auto& [id, wait] : execs_) {
      if (!wait->end) wait->end = absl::UnavailableError("the monitor is gone");
      (void)::eventfd_write(wait->event.get(), 1);
    }
    changed_.notify_all();
  }
  gone = nullptr;
  Reacquire(base::kSecondNs);
}

void Pod::Reacquire(std::int64_t gap_ns) {
  constexpr std::int64_t kPatienceNs = 5 * base::kSecondNs;
  {
    const std::lock_guard lock(mutex_);
    if (disconnecting_) return;  // we sent it home
  }
  const PodStage stage = record().stage;
  if (stage == PodStage::kStopped || stage == PodStage::kRemoving) return;
  {
    const base::Deadline deadline = base::Deadline::After(kPatienceNs);
    const auto turn = connecting_.Begin("connect", deadline);
    if (!turn.ok()) return AskAgain(gap_ns);
    if (const auto connected = Connect(deadline); !connected.ok()) {
      if (MonitorGone(core_, *this)) return MonitorLost();
      base::LogWarning("a pod's monitor lives and does not answer; asking again",
                       {{"pod", id_}, {"error", connected}});
      return AskAgain(gap_ns);
    }
  }
  for (const auto& container : containers()) {
    if (container->state() == ContainerState::kRunning && container->ReadEnd()) AfterExit(*container);
  }
}

void Pod::AskAgain(std::int64_t gap_ns) {
  constexpr std::int64_t kLongestGapNs = 30 * base::kSecondNs;
  const std::weak_ptr<Pod> self = weak_from_this();
  core_.timers.After(gap_ns, [self, core = &core_, next = std::min(gap_ns * 2, kLongestGapNs)] {
    core->events.Submit([self, next] {
      if (const auto pod = self.lock(); pod != nullptr) pod->Reacquire(next);
    });
  });
}

void Pod::MonitorLost() {
  for (const auto& container : containers()) {
    const ContainerStage stage = container->record().stage;
    if (stage != ContainerStage::kRunning && stage != ContainerStage::kStarting) continue;
    base::LogError("the monitor is lost; ending a container", {{"pod", id_}, {"container", container->id()}});
    EndLostContainer(core_, *container);
  }
  const PodRecord now = record();
  if (now.stage != PodStage::kReady || !now.holder || !IsDead(*now.holder)) return;
  Intend([](PodRecord& record) {
    record.status.state = PodState::kNotReady;
    record.status.message = "the process that held the pod's PID namespace is gone";
  });
  Show();
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
