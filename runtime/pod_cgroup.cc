// SPDX-License-Identifier: Apache-2.0
#include "runtime/pod_cgroup.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/container.h"
#include "runtime/fsck/marker.h"
#include "runtime/pod.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kDefaultPeriodUs = 100'000;
constexpr std::int64_t kMinShares = 2;

bool Limited(const std::optional<std::int64_t>& value) { return value && *value > 0; }

// kubelet's classes as far as the CRI shows them: requests are only visible as cpu shares.
std::string QosOf(const std::optional<cgroupfs::Resources>& resources) {
  if (!resources) return "besteffort";
  const bool cpu_request = resources->cpu_shares && *resources->cpu_shares > kMinShares;
  const bool cpu_limit = Limited(resources->cpu_quota_us);
  const bool memory_limit = Limited(resources->memory_limit_bytes);
  if (!cpu_request && !cpu_limit && !memory_limit) return "besteffort";
  if (cpu_request && cpu_limit && memory_limit) {
    const std::int64_t period = resources->cpu_period_us.value_or(kDefaultPeriodUs);
    if (*resources->cpu_shares == *resources->cpu_quota_us * 1024 / period)
      return "";  // equal request and limit: guaranteed
  }
  return "burstable";
}

// Sums one limit; nullopt once a container lacks it.
template <typename Get>
std::optional<std::int64_t> Sum(const std::vector<cgroupfs::Resources>& containers, Get get) {
  std::int64_t sum = 0;
  for (const auto& resources : containers) {
    const std::optional<std::int64_t> value = get(resources);
    if (!Limited(value)) return std::nullopt;
    sum += *value;
  }
  return containers.empty() ? std::nullopt : std::optional(sum);
}

std::vector<cgroupfs::Resources> LivingResources(const Pod& pod, const std::string& replaced,
                                                 const cgroupfs::Resources* extra) {
  std::map<std::string, cgroupfs::Resources> all;
  for (const auto& container : pod.containers()) {
    const ContainerRecord record = container->record();
    if (record.stage == ContainerStage::kExited || record.stage == ContainerStage::kRemoving) continue;
    all[container->id()] = record.status.config.resources;
  }
  if (extra != nullptr) all[replaced] = *extra;
  std::vector<cgroupfs::Resources> living;
  for (auto& [id, resources] : all) living.push_back(std::move(resources));
  return living;
}

// What the kernel or its missing controller refuses is the request's affair, not an internal error.
absl::Status Applied(const base::Result<void>& applied) {
  if (applied.ok()) return absl::OkStatus();
  const int err = applied.error().err;
  const bool refused = err == EINVAL || err == EOPNOTSUPP || err == EBUSY;
  return base::WithCode(refused ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kInternal,
                        base::ToStatus(applied.error()));
}

absl::Status ApplyTo(Pod& pod, const std::string& replaced, const cgroupfs::Resources* extra) {
  constexpr std::int64_t kWaitNs = 60 * base::kSecondNs;
  if (!pod.record().status.cgroup_is_ours) return absl::OkStatus();
  const auto turn = pod.limits().Begin("set the pod's limits", base::Deadline::After(kWaitNs));
  if (!turn.ok()) return turn.status();
  const PodRecord record = pod.record();
  // Of no use any more; and the pod's next attempt may live in the same cgroup.
  if (record.stage != PodStage::kCreating && record.stage != PodStage::kReady) return absl::OkStatus();
  BERTH_ASSIGN_OR_RETURN(auto cgroup, base::ToStatusOr(pod.core().options.cgroups->At(record.status.cgroup)));
  BERTH_FAULT_POINT("runtime.pod_limits");
  return Applied(cgroup->Apply(PodLimits(record.status.config, LivingResources(pod, replaced, extra))));
}

// Another pod in the same cgroup: an earlier or later attempt of this one, or whom a request sent there.
std::shared_ptr<Pod> OtherIn(Core& core, const PodStatus& status) {
  for (const auto& other : core.Pods()) {
    if (other->id() != status.id && other->record().status.cgroup == status.cgroup) return other;
  }
  return nullptr;
}

bool IsAttemptOfSame(const PodStatus& one, const PodStatus& two) {
  return one.config.metadata.uid == two.config.metadata.uid &&
         one.config.metadata.name_space == two.config.metadata.name_space;
}

}  // namespace

std::string PodCgroupPath(const PodConfig& config, const std::string& cgroup_root) {
  if (!config.cgroup_parent.empty()) return config.cgroup_parent;
  const std::string qos = QosOf(config.resources);
  return absl::StrCat(cgroup_root == "/" ? "" : cgroup_root, "/kubepods", qos.empty() ? "" : "/" + qos,
                      "/pod", config.metadata.uid);
}

namespace {

// cpu and memory of a sandbox that names no limit of its own.
cgroupfs::Resources SumOf(const std::vector<cgroupfs::Resources>& containers) {
  cgroupfs::Resources sum;
  sum.memory_limit_bytes =
      Sum(containers, [](const auto& r) { return r.memory_limit_bytes; }).value_or(cgroupfs::kUnlimited);
  // Quotas of different periods are added as shares of a core.
  const auto quota = Sum(containers, [](const auto& r) -> std::optional<std::int64_t> {
    if (!Limited(r.cpu_quota_us)) return std::nullopt;
    return *r.cpu_quota_us * kDefaultPeriodUs /
           std::max<std::int64_t>(r.cpu_period_us.value_or(kDefaultPeriodUs), 1);
  });
  sum.cpu_period_us = kDefaultPeriodUs;
  sum.cpu_quota_us = quota.value_or(cgroupfs::kUnlimited);
  std::int64_t shares = 0;
  for (const auto& resources : containers) shares += resources.cpu_shares.value_or(kMinShares);
  sum.cpu_shares = std::clamp<std::int64_t>(shares, kMinShares, 262144);
  return sum;
}

}  // namespace

cgroupfs::Resources PodLimits(const PodConfig& pod, const std::vector<cgroupfs::Resources>& containers) {
  if (!pod.resources) return SumOf(containers);
  if (Limited(pod.resources->memory_limit_bytes) || Limited(pod.resources->cpu_quota_us))
    return *pod.resources;
  // The rest is not summed: it is the sandbox's, and applied as it was given (or refused by the kernel, as
  // swap without a memory limit is).
  cgroupfs::Resources limits = SumOf(containers);
  limits.memory_swap_limit_bytes = pod.resources->memory_swap_limit_bytes;
  limits.pids_limit = pod.resources->pids_limit;
  limits.cpuset_cpus = pod.resources->cpuset_cpus;
  limits.cpuset_mems = pod.resources->cpuset_mems;
  limits.hugepage_limits = pod.resources->hugepage_limits;
  limits.unified = pod.resources->unified;
  return limits;
}

absl::Status CreatePodCgroup(Core& core, Pod& pod) {
  const PodRecord record = pod.record();
  BERTH_ASSIGN_OR_RETURN(auto cgroup, base::ToStatusOr(core.options.cgroups->At(record.status.cgroup)));
  const auto other = OtherIn(core, record.status);
  const auto theirs = other == nullptr ? PodStatus{} : other->record().status;
  const bool shared = theirs.cgroup_is_ours && IsAttemptOfSame(record.status, theirs);
  if (cgroup->Exists() && !shared) return base::ToStatusOr(cgroup->Create()).status();  // in all hierarchies
  // Ours from now on: after a crash at the next step, who cleans up removes it.
  BERTH_RETURN_IF_ERROR(pod.Change([](PodRecord& changed) { changed.status.cgroup_is_ours = true; }));
  BERTH_FAULT_POINT("runtime.pod_cgroup");
  BERTH_ASSIGN_OR_RETURN(const bool made, base::ToStatusOr(cgroup->Create()));
  BERTH_FAULT_POINT("runtime.pod_cgroup_made");
  if (made) fsck::Mark(*cgroup, core.options.root, record.status.id);
  if (!made && !shared)  // somebody was quicker: then it is theirs
    return pod.Change([](PodRecord& changed) { changed.status.cgroup_is_ours = false; });
  return Applied(cgroup->Apply(PodLimits(record.status.config, {})));
}

void UpdatePodLimits(Pod& pod) {
  const auto applied = ApplyTo(pod, "", nullptr);
  if (!applied.ok())
    base::LogWarning("could not bring the pod's limits up to date", {{"pod", pod.id()}, {"error", applied}});
}

absl::Status UpdatePodLimitsWith(Pod& pod, const std::string& container_id,
                                 const cgroupfs::Resources& extra) {
  return base::Annotate(ApplyTo(pod, container_id, &extra), "set the pod's limits");
}

absl::Status UpdatePodLimitsWith(Pod& pod) {
  return base::Annotate(ApplyTo(pod, "", nullptr), "set the pod's limits");
}

absl::Status RemovePodCgroup(Core& core, const Pod& pod) {
  const PodRecord record = pod.record();
  if (!record.status.cgroup_is_ours) return absl::OkStatus();
  if (const auto heir = OtherIn(core, record.status); heir != nullptr)  // who leaves last removes it
    return heir->Change([](PodRecord& changed) { changed.status.cgroup_is_ours = true; });
  BERTH_ASSIGN_OR_RETURN(auto cgroup, base::ToStatusOr(core.options.cgroups->At(record.status.cgroup)));
  BERTH_FAULT_POINT("runtime.pod_cgroup_remove");
  return base::ToStatus(cgroup->Remove());
}

}  // namespace berth::runtime
