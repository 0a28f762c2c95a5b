// SPDX-License-Identifier: Apache-2.0
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/bundle.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pod_cgroup.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kBusyNs = 100 * base::kSecondNs;
constexpr std::int64_t kConnectNs = 10 * base::kSecondNs;
constexpr std::int64_t kQuickNs = 5 * base::kSecondNs;
constexpr std::int64_t kStartNs = 100 * base::kSecondNs;  // below kubelet's two minutes

std::string DirName(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

absl::StatusOr<monitor::StartRequest> Request(Core& core, Container& container) {
  const ContainerRecord record = container.record();
  const PodRecord pod = container.pod()->record();
  const oci::Handler* handler = core.options.handlers->Find(pod.handler);
  if (handler == nullptr || !handler->usable)
    return absl::FailedPreconditionError(
        absl::StrCat("the pod's runtime handler '", pod.handler, "' does not work any more"));
  const ContainerConfig& config = record.status.config;
  monitor::StartRequest request;
  request.container_id = container.id();
  request.bundle = container.places().state;
  request.runtime = handler->path;
  request.runtime_root = handler->config.root.empty()
                             ? container.pod()->places().runtime_root
                             : absl::StrCat(handler->config.root, "/", container.pod()->id());
  request.runtime_args = handler->args;
  request.hide_mount = handler->hide_mount;
  request.log_path = record.status.log_path;
  request.tty = config.tty;
  request.stdin_open = config.stdin_open;
  request.stdin_once = config.stdin_once;
  request.record_dir = container.places().record_dir;
  request.fallback_dir = container.places().state;
  request.run_dir = container.places().state;
  request.cgroup = record.status.cgroup;
  request.pod_cgroup = pod.status.cgroup;
  if (const auto map = UserMapOf(pod.status.config)) request.stdio_owner = map->first;
  if (config.resources.memory_limit_bytes.value_or(0) > 0)
    request.memory_limit_bytes = config.resources.memory_limit_bytes;
  return request;
}

// Nothing of it ran, and no monitor heard of it. EXITED all the same: kubelet never starts a container twice,
// and computes its back-off from ended ones only.
absl::Status NeverStarted(Container& container, const absl::Status& why) {
  Container::LostEnd end;
  end.exit_code = 128;
  end.reason = "StartError";
  end.message = std::string(why.message());
  container.EndWithoutMonitor(end);
  UpdatePodLimits(*container.pod());
  return base::WithCode(absl::StatusCode::kInternal, why, "start the container");
}

absl::Status Prepare(Core& core, Container& container, const std::string& log_path) {
  BERTH_FAULT_POINT("runtime.log_directory");
  BERTH_RETURN_IF_ERROR(
      base::Annotate(base::ToStatus(base::MakeDirs(DirName(log_path), 0755)), "make the log directory"));
  const ContainerRecord record = container.record();
  BERTH_RETURN_IF_ERROR(MountMapped(container.pod()->places(), container.places(), record.status.config));
  const auto namespaces = EffectiveNamespaces(container.pod()->record().status.config, record.status.config);
  if (namespaces.pid != NamespaceMode::kTarget) return absl::OkStatus();
  // The target may have ended since the create, and its pid may be another's now.
  BERTH_ASSIGN_OR_RETURN(const std::string rootfs, BundleRootfs(container));
  return WriteBundle(core, container, rootfs);
}

// The monitor may still be at it, and nobody will come for the container: it shall not begin.
absl::Status CallOff(Core& core, Container& container, const absl::Status& why) {
  if (const auto monitor = container.pod()->ConnectedMonitor(); monitor != nullptr) {
    const auto killed =
        monitor->Kill({container.id(), "start timed out", 0}, base::Deadline::After(kQuickNs));
    if (absl::IsNotFound(killed)) return NeverStarted(container, why);
    if (!killed.ok())
      base::LogWarning("could not call a start off", {{"container", container.id()}, {"error", killed}});
  }
  FollowStart(core, container.shared_from_this());
  (void)container.WaitEnded(base::Deadline::After(kQuickNs));
  return base::WithCode(absl::StatusCode::kInternal, why, "start the container");
}

absl::Status Start(Core& core, Container& container, Progress& progress) {
  progress.Enter("wait for what is under way");
  auto activity = container.activity().Begin("start", base::Deadline::After(kBusyNs));
  if (!activity.ok()) return activity.status();
  const ContainerRecord before = container.record();
  if (before.stage == ContainerStage::kStarting)
    return absl::FailedPreconditionError(absl::StrCat("container '", container.id(), "' is being started"));
  if (before.status.state != ContainerState::kCreated) {
    const char* state = before.status.state == ContainerState::kRunning ? "running" : "exited";
    return absl::FailedPreconditionError(
        absl::StrCat("container '", container.id(), "' is ", state, ", not created"));
  }
  if (!container.pod()->ready())
    return absl::FailedPreconditionError(absl::StrCat("pod '", container.pod()->id(), "' is not ready"));
  progress.Enter("prepare");
  const auto request = Request(core, container);
  if (!request.ok()) return NeverStarted(container, request.status());
  const absl::Cleanup unmap = [&] { UnmountMapped(container.places()); };
  if (auto prepared = Prepare(core, container, request->log_path); !prepared.ok())
    return NeverStarted(container, prepared);
  const auto monitor = container.pod()->Monitor(base::Deadline::After(kConnectNs));
  if (!monitor.ok()) return NeverStarted(container, monitor.status());
  if (auto saved =
          container.Change([](ContainerRecord& record) { record.stage = ContainerStage::kStarting; });
      !saved.ok()) {
    return NeverStarted(container, saved);
  }
  progress.Enter("start by the pod's monitor");
  BERTH_FAULT_POINT("runtime.start");
  auto started = (*monitor)->Start(*request, base::Deadline::After(kStartNs));
  BERTH_FAULT_POINT("runtime.started");
  if (started.ok()) {
    container.Began({started->pid, started->start_ticks, base::BootId()}, started->started_at);
    return absl::OkStatus();
  }
  if (container.ReadEnd()) {
    // The container is EXITED with StartError: kubelet's back-off counts from its finish time.
    UpdatePodLimits(*container.pod());
    (void)(*monitor)->Forget(container.id(), base::Deadline::After(kConnectNs));
    return absl::UnknownError(absl::StrCat("cannot start container '", before.status.config.metadata.name,
                                           "': ", container.status()->exit->message));
  }
  if (!FindMonitor(core, *container.pod())) {
    // The monitor went away in the middle: nobody may think that this container can still begin.
    EndLostContainer(core, container);
  } else {
    return CallOff(core, container, started.status());
  }
  return base::WithCode(absl::StatusCode::kInternal, started.status(), "start the container");
}

}  // namespace

absl::Status StartContainer(Core& core, const std::shared_ptr<Container>& container, const Caller& caller) {
  return core.operations.Do(
      "start/" + container->id(), absl::StrCat("starting container '", container->id(), "'"),
      [&core, container](Progress& progress) { return Start(core, *container, progress); }, caller);
}

}  // namespace berth::runtime
