// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pod_cgroup.h"
#include "runtime/pod_files.h"
#include "runtime/rebuild.h"
#include "runtime/security/sysctl.h"
#include "runtime/user_namespace.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kPinNs = 30 * base::kSecondNs;
constexpr std::int64_t kMonitorNs = 30 * base::kSecondNs;
constexpr int kHolderOomScore = -998;

absl::Status CheckMetadata(const PodMetadata& metadata) {
  if (metadata.name.empty()) return absl::InvalidArgumentError("config.metadata.name is missing");
  if (metadata.name_space.empty()) return absl::InvalidArgumentError("config.metadata.namespace is missing");
  if (metadata.uid.empty()) return absl::InvalidArgumentError("config.metadata.uid is missing");
  // The uid becomes part of a cgroup's path.
  if (metadata.uid.find('/') != std::string::npos || metadata.uid == "." || metadata.uid == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("config.metadata.uid '", metadata.uid, "' cannot name a cgroup"));
  }
  return absl::OkStatus();
}

absl::Status Check(const PodConfig& config) {
  BERTH_RETURN_IF_ERROR(CheckMetadata(config.metadata));
  const NamespaceOptions& namespaces = config.namespaces;
  if (namespaces.network != NamespaceMode::kPod && namespaces.network != NamespaceMode::kNode) {
    return absl::InvalidArgumentError("network namespace mode must be POD or NODE");
  }
  if (namespaces.ipc != NamespaceMode::kPod && namespaces.ipc != NamespaceMode::kNode) {
    return absl::InvalidArgumentError("ipc namespace mode must be POD or NODE");
  }
  if (namespaces.pid == NamespaceMode::kTarget)
    return absl::InvalidArgumentError("pid namespace mode TARGET is for containers, not for pods");
  if (!config.log_directory.empty() && config.log_directory.front() != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("log_directory '", config.log_directory, "' is not an absolute path"));
  }
  for (const auto& [name, value] : config.sysctls)
    BERTH_RETURN_IF_ERROR(security::ValidateSysctl(name, value, namespaces));
  return absl::OkStatus();
}

absl::StatusOr<const oci::Handler*> FindHandler(const Core& core, const std::string& name) {
  const oci::Handler* handler = core.options.handlers->Find(name);
  if (handler == nullptr && name.empty())
    return absl::FailedPreconditionError("no OCI runtime works on this node; `berth doctor` tells why");
  if (handler == nullptr) {
    std::string known;
    for (const auto& each : core.options.handlers->all())
      absl::StrAppend(&known, known.empty() ? "" : ", ", each.name);
    return absl::InvalidArgumentError(
        absl::StrCat("unknown runtime handler '", name, "'; configured are: ", known));
  }
  if (!handler->usable)
    return absl::FailedPreconditionError(
        absl::StrCat("runtime handler '", handler->name, "' does not work here: ", handler->why_not));
  return handler;
}

std::string EffectiveHostname(const PodConfig& config) {
  if (!config.hostname.empty()) return config.hostname;
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

absl::Status PinNamespaces(Core& core, Pod& pod, const std::string& hostname) {
  const PodConfig config = pod.record().status.config;
  monitor::PinOptions pin;
  pin.program = core.options.monitor_program;
  pin.dir = pod.places().pins;
  // The uts namespace goes with the network's: a pod on the host's network has the host's name.
  pin.net = pin.uts = config.namespaces.network == NamespaceMode::kPod;
  pin.ipc = config.namespaces.ipc == NamespaceMode::kPod;
  if (pin.uts) pin.hostname = hostname;
  StringMap sysctls = config.sysctls;
  for (const auto& [name, value] : core.options.default_sysctls) {
    // Of namespaces that the pod shares with the host: left to the host.
    if (security::ValidateSysctl(name, value, config.namespaces).ok()) sysctls.emplace(name, value);
  }
  for (const auto& [name, value] : sysctls) pin.sysctls.emplace_back(name, value);
  pin.user = UserMapOf(config);
  if (!pin.net && !pin.ipc && !pin.user) return absl::OkStatus();
  BERTH_FAULT_POINT("runtime.pin");
  return base::Annotate(monitor::Pin(pin, base::Deadline::After(kPinNs)), "make the pod's namespaces");
}

absl::Status StartHolder(Core& core, Pod& pod) {
  if (pod.record().status.config.namespaces.pid != NamespaceMode::kPod) return absl::OkStatus();
  BERTH_ASSIGN_OR_RETURN(auto cgroup,
                         base::ToStatusOr(core.options.cgroups->At(HolderCgroup(core.options, pod.id()))));
  BERTH_FAULT_POINT("runtime.holder_cgroup");
  BERTH_RETURN_IF_ERROR(base::ToStatusOr(cgroup->Create()).status());
  monitor::HolderRequest request;
  request.pin = pod.places().pins + "/pid";
  request.cgroup_procs = cgroup->ProcsFiles();
  request.oom_score_adj = kHolderOomScore;
  if (pod.record().status.config.namespaces.user_namespace)
    request.user_namespace = pod.places().pins + "/user";
  BERTH_ASSIGN_OR_RETURN(auto monitor, pod.Monitor(base::Deadline::After(kMonitorNs)));
  BERTH_FAULT_POINT("runtime.holder");
  BERTH_ASSIGN_OR_RETURN(auto holder, monitor->Holder(request, base::Deadline::After(kMonitorNs)));
  return pod.Change([&](PodRecord& record) { record.holder = holder; });
}

absl::Status Build(Core& core, Pod& pod, Progress& progress) {
  const PodConfig config = pod.record().status.config;
  const std::string hostname = EffectiveHostname(config);
  progress.Enter("directories");
  BERTH_FAULT_POINT("runtime.pod_dirs");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(pod.places().root)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(pod.places().pins)));
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(pod.places().runtime_root)));
  if (!config.log_directory.empty())
    BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(config.log_directory, 0755)));
  Describe(core.options, pod.record());

  progress.Enter("namespaces");
  BERTH_RETURN_IF_ERROR(PinNamespaces(core, pod, hostname));
  progress.Enter("network");
  BERTH_RETURN_IF_ERROR(AttachNetwork(core, pod, progress));
  progress.Enter("cgroup");
  BERTH_RETURN_IF_ERROR(CreatePodCgroup(core, pod));
  progress.Enter("files");
  BERTH_RETURN_IF_ERROR(WritePodFiles(pod.places(), config, hostname, pod.record().status.ips));
  if (config.namespaces.ipc == NamespaceMode::kPod)
    BERTH_RETURN_IF_ERROR(MountShm(pod.places(), config, core.options.shm_bytes));
  progress.Enter("monitor");
  BERTH_RETURN_IF_ERROR(pod.LaunchMonitor(base::Deadline::After(kMonitorNs)));
  BERTH_RETURN_IF_ERROR(StartHolder(core, pod));
  progress.Enter("record");
  BERTH_FAULT_POINT("runtime.pod_ready");
  BERTH_RETURN_IF_ERROR(pod.BecomeReady());
  Describe(core.options, pod.record());
  return absl::OkStatus();
}

absl::StatusOr<std::string> Make(Core& core, const PodConfig& config, const oci::Handler& handler,
                                 const std::string& handler_asked, Progress& progress) {
  PodRecord record;
  record.status.id = base::NewId();
  record.status.created_at = base::RealtimeNs();
  record.status.runtime_handler = handler_asked;
  record.handler = handler.name;
  record.status.config = config;
  record.status.cgroup = PodCgroupPath(config, core.options.cgroup_root);
  record.boot_id = base::BootId();
  if (config.namespaces.network == NamespaceMode::kPod) {
    record.status.network_namespace = PodPlaces(core.options, record.status.id).pins + "/net";
  }
  progress.Enter("record");
  const auto insert = [&] {
    return core.options.store->Write([&](store::Transaction& transaction) {
      return transaction.InsertPod(
          {record.status.id, PodNameKey(config.metadata), record.status.created_at, Encode(record)});
    });
  };
  absl::Status inserted = insert();
  // The name may be that of one which is gone but for its row.
  if (absl::IsAlreadyExists(inserted) && core.erasures.Flush()) inserted = insert();
  if (!inserted.ok()) return inserted;
  BERTH_FAULT_POINT("runtime.pod_recorded");
  const auto pod = std::make_shared<Pod>(core, record);
  core.Add(pod);
  if (auto built = Build(core, *pod, progress); !built.ok()) {
    base::LogWarning("pod could not be made",
                     {{"pod", pod->id()}, {"name", config.metadata.name}, {"error", built}});
    progress.Enter("undo");
    DiscardPod(core, *pod);
    return built;
  }
  base::LogInfo(
      "pod made",
      {{"pod", pod->id()}, {"name", config.metadata.name}, {"namespace", config.metadata.name_space}});
  return pod->id();
}

}  // namespace

absl::StatusOr<std::string> RunPod(Core& core, const PodConfig& config, const std::string& handler_name,
                                   const Caller& caller) {
  BERTH_RETURN_IF_ERROR(Check(config));
  const std::string path = PodCgroupPath(config, core.options.cgroup_root);
  if (auto cgroup = core.options.cgroups->At(path); !cgroup.ok())
    return base::WithCode(absl::StatusCode::kInvalidArgument, base::ToStatus(cgroup.error()));
  BERTH_ASSIGN_OR_RETURN(const oci::Handler* handler, FindHandler(core, handler_name));
  BERTH_RETURN_IF_ERROR(CheckUserNamespace(config, *handler));
  BERTH_RETURN_IF_ERROR(AwaitRecoveryOfName(core, config.metadata, caller));
  Operation operation;
  operation.what = absl::StrCat("creating pod '", config.metadata.name_space, "/", config.metadata.name, "'");
  operation.work = [&core, config, handler, handler_name](Progress& progress) {
    return Make(core, config, *handler, handler_name, progress);
  };
  operation.claim = [&core](const std::string& id) {
    if (const auto pod = core.FindPod(id); pod != nullptr) pod->Show();
  };
  operation.roll_back = [&core](const std::string& id) {
    if (const auto pod = core.FindPod(id); pod != nullptr) DiscardPod(core, *pod);
  };
  return core.operations.Run("pod/" + PodNameKey(config.metadata), std::move(operation), caller);
}

}  // namespace berth::runtime
