// SPDX-License-Identifier: Apache-2.0
#include "runtime/runtime.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/activity.h"
#include "runtime/explain.h"
#include "runtime/managers.h"
#include "runtime/oci/host_facts.h"
#include "runtime/pod_cgroup.h"
#include "runtime/security/apparmor.h"

namespace berth::runtime {
namespace {

// Pins of namespaces must not propagate: in a shared tree each would appear again in every other mount
// namespace, and live on there.
absl::Status MakePrivate(const std::string& path) {
  BERTH_FAULT_POINT("runtime.pods_directory");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(path)));
  if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) == 0) return absl::OkStatus();
  if (errno != EINVAL) return base::SyscallError(errno, absl::StrCat("make '", path, "' a private mount"));
  BERTH_FAULT_POINT("runtime.pods_bind");
  if (::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return base::SyscallError(errno, absl::StrCat("bind '", path, "'"));
  BERTH_FAULT_POINT("runtime.pods_private");
  if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return base::SyscallError(errno, absl::StrCat("make '", path, "' a private mount"));
  return absl::OkStatus();
}

constexpr std::int64_t kApparmorNs = 30 * base::kSecondNs;

class RuntimeImpl final : public Runtime {
 public:
  explicit RuntimeImpl(Options options) : core_(std::move(options)) {}

  absl::Status Open() {
    BERTH_RETURN_IF_ERROR(MakePrivate(core_.options.state + "/pods"));
    BERTH_FAULT_POINT("runtime.records_directory");
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(core_.options.root + "/pods")));
    core_.host_facts = oci::GatherHostFacts(*core_.options.cgroups);
    LoadApparmor();
    core_.hub = core_.options.hub;
    if (core_.hub == nullptr) {
      BERTH_ASSIGN_OR_RETURN(core_.hub, monitor::Hub::Start());
    }
    BERTH_RETURN_IF_ERROR(LoadRecords(core_));
    StartRecovery(core_);
    return absl::OkStatus();
  }

  std::shared_ptr<const Snapshot> snapshot() const override { return core_.table.Get(); }
  absl::StatusOr<std::shared_ptr<const PodStatus>> FindPod(const std::string& id) const override {
    return core_.table.FindPod(id);
  }
  absl::StatusOr<std::shared_ptr<const ContainerStatus>> FindContainer(const std::string& id) const override {
    return core_.table.FindContainer(id);
  }

  absl::StatusOr<std::string> RunPod(const PodConfig& config, const std::string& handler,
                                     const Caller& caller) override {
    return runtime::RunPod(core_, config, handler, caller);
  }
  absl::Status StopPod(const std::string& id, const Caller& caller) override {
    return OnPod(id, caller, [&](const auto& pod) { return runtime::StopPod(core_, pod, caller); });
  }
  absl::Status RemovePod(const std::string& id, const Caller& caller) override {
    return OnPod(id, caller, [&](const auto& pod) { return runtime::RemovePod(core_, pod, caller); });
  }
  absl::Status UpdatePodResources(const std::string& id, const std::optional<cgroupfs::Resources>& overhead,
                                  const std::optional<cgroupfs::Resources>& resources,
                                  const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto status, FindPod(id));
    const auto pod = core_.FindPod(status->id);
    if (pod == nullptr) return absl::NotFoundError(absl::StrCat("no pod '", id, "'"));
    BERTH_RETURN_IF_ERROR(AwaitRecovery(core_, pod->id(), caller));
    // One at a time: what is put back after a failure must be what was there before.
    constexpr std::int64_t kWaitNs = 100 * base::kSecondNs;
    const auto activity = pod->activity().Begin("update", base::Deadline::After(kWaitNs));
    if (!activity.ok()) return activity.status();
    const PodConfig before = pod->record().status.config;
    const auto set = [&](const std::optional<cgroupfs::Resources>& o,
                         const std::optional<cgroupfs::Resources>& r) {
      return pod->Change([&](PodRecord& record) {
        if (o) record.status.config.overhead = o;
        if (r) record.status.config.resources = r;
      });
    };
    BERTH_RETURN_IF_ERROR(set(overhead, resources));
    // kubelet sizes its own pod cgroups itself; ours follow at once.
    if (auto applied = UpdatePodLimitsWith(*pod); !applied.ok()) {
      BERTH_RETURN_IF_ERROR(pod->Change([&](PodRecord& record) {
        record.status.config.overhead = before.overhead;
        record.status.config.resources = before.resources;
      }));
      return applied;
    }
    pod->Show();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> CreateContainer(const std::string& pod_id, const ContainerConfig& config,
                                              const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto status, FindPod(pod_id));
    const auto pod = core_.FindPod(status->id);
    if (pod == nullptr) return absl::NotFoundError(absl::StrCat("no pod '", pod_id, "'"));
    BERTH_RETURN_IF_ERROR(AwaitRecovery(core_, pod->id(), caller));
    return runtime::CreateContainer(core_, pod, config, caller);
  }
  absl::Status StartContainer(const std::string& id, const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto container, Living(id, caller));
    return runtime::StartContainer(core_, container, caller);
  }
  absl::Status StopContainer(const std::string& id, std::int64_t grace_s, const Caller& caller) override {
    return OnContainer(id, caller, [&](const auto& container) {
      return runtime::StopContainer(core_, container, grace_s, "stop", caller);
    });
  }
  absl::Status RemoveContainer(const std::string& id, const Caller& caller) override {
    return OnContainer(id, caller, [&](const auto& container) {
      return runtime::RemoveContainer(core_, container, caller);
    });
  }
  absl::Status UpdateContainerResources(const std::string& id, const cgroupfs::Resources& resources,
                                        const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto container, Living(id, caller));
    return runtime::UpdateContainerResources(core_, *container, resources);
  }
  absl::Status ReopenLog(const std::string& id, const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto container, Living(id, caller));
    return runtime::ReopenLog(core_, *container);
  }
  absl::StatusOr<ExecResult> ExecSync(const std::string& id, const std::vector<std::string>& command,
                                      std::int64_t timeout_s, const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto container, Living(id, caller));
    return runtime::ExecSync(core_, *container, command, timeout_s, caller);
  }

  absl::StatusOr<std::unique_ptr<Stdio>> Exec(const std::string& id, const StdioRequest& request,
                                              const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto container, Living(id, caller));
    return runtime::Exec(*container, request, caller);
  }
  absl::StatusOr<std::unique_ptr<Stdio>> Attach(const std::string& id, const StdioRequest& request,
                                                const Caller& caller) override {
    BERTH_ASSIGN_OR_RETURN(const auto container, Living(id, caller));
    return runtime::Attach(*container, request);
  }
  absl::StatusOr<base::UniqueFd> PodSocket(const std::string& id, int family) const override {
    BERTH_ASSIGN_OR_RETURN(const auto pod, FindPod(id));
    if (pod->state != PodState::kReady)
      return absl::FailedPreconditionError(absl::StrCat("pod '", id, "' is not ready"));
    return runtime::PodSocket(*pod, family);
  }

  absl::StatusOr<ContainerStatsView> Stats(const std::string& id) const override {
    BERTH_ASSIGN_OR_RETURN(const auto status, FindContainer(id));
    return ReadStats(core_.options, status);
  }
  std::vector<ContainerStatsView> AllStats(
      const std::function<bool(const ContainerStatus&)>& wanted) const override {
    std::vector<ContainerStatsView> all;
    for (const auto now = snapshot(); const auto& container : now->containers) {
      if (container->state != ContainerState::kRunning || !wanted(*container)) continue;
      if (auto view = ReadStats(core_.options, container); view.ok()) all.push_back(std::move(*view));
    }
    return all;
  }
  absl::StatusOr<Explanation> Explain(const std::string& id) const override {
    return runtime::Explain(core_.options, core_.table, id);
  }

  absl::StatusOr<fsck::Report> Fsck(bool repair) override {
    fsck::Ground ground;
    ground.root = core_.options.root;
    ground.state = core_.options.state;
    ground.cgroup_root = core_.options.cgroup_root;
    ground.store = core_.options.store;
    ground.cgroups = core_.options.cgroups.get();
    ground.hands.stop_pod = [this](const std::string& id) { return StopPod(id, {}); };
    ground.hands.stop_container = [this](const std::string& id) { return StopContainer(id, 0, {}); };
    ground.hands.remove_container = [this](const std::string& id) { return RemoveContainer(id, {}); };
    ground.hands.detach_network = [this](const std::string& id) { return DetachNetwork(core_, id); };
    // One at a time: two that mend get in each other's way.
    const auto turn = fsck_.Begin("fsck", base::Deadline::After(base::kSecondNs));
    if (!turn.ok()) return turn.status();
    return fsck::Check(ground, repair);
  }

  std::optional<std::string> NotReadyReason() const override {
    if (core_.options.handlers->Default() != nullptr) return std::nullopt;
    std::string why = "no OCI runtime works on this node";
    for (const auto& handler : core_.options.handlers->all())
      absl::StrAppend(&why, "; ", handler.name, ": ", handler.why_not);
    return why;
  }
  const Options& options() const override { return core_.options; }

 private:
  // Where the kernel has AppArmor: the profile of those that ask for none or for the default.
  void LoadApparmor() {
    if (!core_.host_facts.apparmor) return;
    absl::Status loaded = absl::FailedPreconditionError("no apparmor_parser is configured");
    if (!core_.options.apparmor_parser.empty())
      loaded =
          security::LoadApparmorDefault(core_.options.apparmor_parser, base::Deadline::After(kApparmorNs));
    if (loaded.ok()) {
      core_.host_facts.apparmor_default = security::kApparmorDefault;
    } else {
      core_.host_facts.no_apparmor_default = std::string(loaded.message());
      base::LogWarning("degraded: containers run without an AppArmor profile", {{"why", loaded}});
    }
  }

  absl::StatusOr<std::shared_ptr<Container>> Living(const std::string& id, const Caller& caller) {
    BERTH_ASSIGN_OR_RETURN(const auto status, FindContainer(id));
    BERTH_RETURN_IF_ERROR(AwaitRecovery(core_, status->pod_id, caller));
    auto container = core_.FindContainer(status->id);
    if (container == nullptr) return absl::NotFoundError(absl::StrCat("no container '", id, "'"));
    return container;
  }
  // Unknown is success for these: kubelet repeats them until they are.
  absl::Status OnPod(const std::string& id, const Caller& caller,
                     const std::function<absl::Status(const std::shared_ptr<Pod>&)>& work) {
    const auto status = FindPod(id);
    if (absl::IsNotFound(status.status())) return absl::OkStatus();
    if (!status.ok()) return status.status();
    BERTH_RETURN_IF_ERROR(AwaitRecovery(core_, (*status)->id, caller));
    const auto pod = core_.FindPod((*status)->id);
    return pod == nullptr ? absl::OkStatus() : work(pod);
  }
  absl::Status OnContainer(const std::string& id, const Caller& caller,
                           const std::function<absl::Status(const std::shared_ptr<Container>&)>& work) {
    const auto status = FindContainer(id);
    if (absl::IsNotFound(status.status())) return absl::OkStatus();
    if (!status.ok()) return status.status();
    BERTH_RETURN_IF_ERROR(AwaitRecovery(core_, (*status)->pod_id, caller));
    const auto container = core_.FindContainer((*status)->id);
    return container == nullptr ? absl::OkStatus() : work(container);
  }

  Core core_;
  Activity fsck_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Open(Options options) {
  auto runtime = std::make_unique<RuntimeImpl>(std::move(options));
  BERTH_RETURN_IF_ERROR(runtime->Open());
  return runtime;
}

}  // namespace berth::runtime
