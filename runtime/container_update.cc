// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/bundle.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pod_cgroup.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kBusyNs = 100 * base::kSecondNs;
constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;

// What is unset or empty in the request stays as it is (kubelet's CPU manager sends cpuset_cpus alone).
cgroupfs::Resources Merged(cgroupfs::Resources base, const cgroupfs::Resources& change) {
  const auto take = [](auto& to, const auto& from) {
    if (from) to = from;
  };
  take(base.cpu_shares, change.cpu_shares);
  take(base.cpu_quota_us, change.cpu_quota_us);
  take(base.cpu_period_us, change.cpu_period_us);
  take(base.memory_limit_bytes, change.memory_limit_bytes);
  take(base.memory_swap_limit_bytes, change.memory_swap_limit_bytes);
  // A memory limit given alone may pass memory + swap, which then goes with it (the kernel keeps memsw >=
  // memory).
  if (base.memory_swap_limit_bytes.value_or(0) > 0 &&
      base.memory_limit_bytes.value_or(0) > *base.memory_swap_limit_bytes) {
    base.memory_swap_limit_bytes = base.memory_limit_bytes;
  }
  take(base.pids_limit, change.pids_limit);
  if (!change.cpuset_cpus.empty()) base.cpuset_cpus = change.cpuset_cpus;
  if (!change.cpuset_mems.empty()) base.cpuset_mems = change.cpuset_mems;
  if (!change.hugepage_limits.empty()) base.hugepage_limits = change.hugepage_limits;
  for (const auto& [file, value] : change.unified) base.unified[file] = value;
  return base;
}

bool Raises(const std::optional<std::int64_t>& before, const std::optional<std::int64_t>& after) {
  const auto limited = [](const std::optional<std::int64_t>& value) { return value && *value > 0; };
  if (!limited(after)) return limited(before);
  return limited(before) && *after > *before;
}

absl::Status ApplyToRunning(Core& core, Container& container, const cgroupfs::Resources& before,
                            const cgroupfs::Resources& after, const cgroupfs::Resources& change) {
  BERTH_ASSIGN_OR_RETURN(auto cgroup,
                         base::ToStatusOr(core.options.cgroups->At(container.record().status.cgroup)));
  // A child must fit into its parent at every moment: the pod grows first and shrinks last.
  const bool grows = Raises(before.memory_limit_bytes, after.memory_limit_bytes) ||
                     Raises(before.cpu_quota_us, after.cpu_quota_us);
  if (grows) BERTH_RETURN_IF_ERROR(UpdatePodLimitsWith(*container.pod(), container.id(), after));
  BERTH_FAULT_POINT("runtime.update_resources");
  if (auto applied = cgroup->Apply(change); !applied.ok()) {
    if (grows) UpdatePodLimits(*container.pod());
    const auto code =
        applied.error().err == EBUSY ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kInternal;
    return base::WithCode(code, base::ToStatus(applied.error()),
                          absl::StrCat("update the resources of container '", container.id(), "'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status UpdateContainerResources(Core& core, Container& container, const cgroupfs::Resources& change) {
  auto activity = container.activity().Begin("update", base::Deadline::After(kBusyNs));
  if (!activity.ok()) return activity.status();
  const ContainerRecord record = container.record();
  if (record.status.state == ContainerState::kExited) {
    return absl::FailedPreconditionError(absl::StrCat("container '", container.id(), "' has ended"));
  }
  if (record.stage == ContainerStage::kStarting)
    return absl::FailedPreconditionError(absl::StrCat("container '", container.id(), "' is being started"));
  const cgroupfs::Resources before = record.status.config.resources;
  const cgroupfs::Resources after = Merged(before, change);
  if (record.status.state == ContainerState::kRunning) {
    BERTH_RETURN_IF_ERROR(ApplyToRunning(core, container, before, after, change));
  }
  BERTH_RETURN_IF_ERROR(
      container.Change([&](ContainerRecord& changed) { changed.status.config.resources = after; }));
  if (record.status.state == ContainerState::kCreated) {
    BERTH_ASSIGN_OR_RETURN(const std::string rootfs, BundleRootfs(container));
    BERTH_RETURN_IF_ERROR(WriteBundle(core, container, rootfs));
  } else if (after.memory_limit_bytes != before.memory_limit_bytes) {
    if (auto monitor = container.pod()->Monitor(base::Deadline::After(kQuickNs)); monitor.ok()) {
      const auto told =
          (*monitor)->Update(container.id(), after.memory_limit_bytes, base::Deadline::After(kQuickNs));
      if (!told.ok())
        base::LogWarning("the monitor was not told of a new limit",
                         {{"container", container.id()}, {"error", told}});
    }
  }
  UpdatePodLimits(*container.pod());
  container.Show();
  return absl::OkStatus();
}

absl::Status ReopenLog(Core&, Container& container) {
  if (container.state() != ContainerState::kRunning) {
    return absl::FailedPreconditionError(
        absl::StrCat("container '", container.id(), "' is not running: its log is closed"));
  }
  BERTH_ASSIGN_OR_RETURN(auto monitor, container.pod()->Monitor(base::Deadline::After(kQuickNs)));
  BERTH_FAULT_POINT("runtime.reopen_log");
  return FromMonitor(monitor->ReopenLog(container.id(), base::Deadline::After(kQuickNs)));
}

}  // namespace berth::runtime
