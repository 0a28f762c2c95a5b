// SPDX-License-Identifier: Apache-2.0
#include "cri/explain_reply.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cri/bundle_view.h"

namespace berth::cri {
namespace {

namespace ops = ::berth::ops::v1;

constexpr std::uint32_t kDefaultLogLines = 10;

ops::LifeState StateOf(runtime::ContainerState state) {
  switch (state) {
    case runtime::ContainerState::kCreated:
      return ops::LIFE_STATE_CREATED;
    case runtime::ContainerState::kRunning:
      return ops::LIFE_STATE_RUNNING;
    case runtime::ContainerState::kExited:
      return ops::LIFE_STATE_EXITED;
    case runtime::ContainerState::kUnknown:
      break;
  }
  return ops::LIFE_STATE_UNKNOWN;
}

std::string HandlerName(const runtime::Runtime& runtime, const std::string& asked) {
  if (!asked.empty()) return asked;
  const auto* handler =
      runtime.options().handlers == nullptr ? nullptr : runtime.options().handlers->Default();
  return handler == nullptr ? "" : handler->name;
}

void FillPodIdentity(const runtime::Runtime& runtime, const runtime::PodStatus& pod, ops::PodIdentity* out) {
  out->set_id(pod.id);
  out->set_name(pod.config.metadata.name);
  out->set_namespace_(pod.config.metadata.name_space);
  out->set_uid(pod.config.metadata.uid);
  out->set_attempt(pod.config.metadata.attempt);
  out->set_handler(HandlerName(runtime, pod.runtime_handler));
}

void FillIdentity(const runtime::Runtime& runtime, const runtime::ContainerStatus& container,
                  const runtime::PodStatus& pod, ops::ContainerIdentity* out) {
  out->set_id(container.id);
  out->set_name(container.config.metadata.name);
  out->set_attempt(container.config.metadata.attempt);
  const auto& image = container.config.image;
  out->set_image(image.user_specified_image.empty() ? image.image : image.user_specified_image);
  out->set_image_id(container.image_id);
  out->set_pod_sandbox_id(container.pod_id);
  for (const auto& argument : BundleCommand(runtime.options(), container)) out->add_command(argument);
  out->set_host_pid(static_cast<std::int32_t>(container.pid));
  out->set_handler(HandlerName(runtime, pod.runtime_handler));
}

void FillLimits(const std::string& cgroup, const std::optional<cgroupfs::Resources>& limits,
                ops::LimitsExplanation* out) {
  out->set_cgroup_path(cgroup);
  if (!limits) return;
  // A number is shown only where it limits: "no limit" is absence here.
  const auto real = [](const std::optional<std::int64_t>& limit) { return limit && *limit >= 0; };
  if (limits->cpu_shares) out->set_cpu_shares(static_cast<std::uint64_t>(*limits->cpu_shares));
  if (real(limits->cpu_quota_us)) out->set_cpu_quota_us(*limits->cpu_quota_us);
  if (limits->cpu_period_us) out->set_cpu_period_us(static_cast<std::uint64_t>(*limits->cpu_period_us));
  if (real(limits->memory_limit_bytes))
    out->set_memory_limit_bytes(static_cast<std::uint64_t>(*limits->memory_limit_bytes));
  if (real(limits->memory_swap_limit_bytes) && real(limits->memory_limit_bytes)) {
    const std::int64_t swap = *limits->memory_swap_limit_bytes - *limits->memory_limit_bytes;
    out->set_swap_limit_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(swap, 0)));
  }
  if (real(limits->pids_limit)) out->set_pids_limit(static_cast<std::uint64_t>(*limits->pids_limit));
  out->set_cpuset_cpus(limits->cpuset_cpus);
  out->set_cpuset_mems(limits->cpuset_mems);
}

void FillUsage(const cgroupfs::Stats& stats, ops::ContainerExplanation* out) {
  out->mutable_limits()->set_memory_usage_bytes(stats.memory.usage_bytes);
  if (stats.memory.peak_bytes) out->mutable_limits()->set_memory_peak_bytes(*stats.memory.peak_bytes);
  out->mutable_throttling()->set_periods(stats.cpu.periods);
  out->mutable_throttling()->set_throttled_periods(stats.cpu.throttled_periods);
  out->mutable_throttling()->set_throttled_ns(stats.cpu.throttled_ns);
}

void FillThrottling(const monitor::CpuThrottling& throttling, ops::ThrottlingExplanation* out) {
  out->set_periods(throttling.periods);
  out->set_throttled_periods(throttling.throttled_periods);
  out->set_throttled_ns(throttling.throttled_ns);
}

void FillContainer(const runtime::Runtime& runtime, const runtime::Explanation& explanation,
                   std::uint32_t max_log_lines, ops::ContainerExplanation* out) {
  const auto& container = *explanation.container;
  FillIdentity(runtime, container, *explanation.pod, out->mutable_identity());
  FillPodIdentity(runtime, *explanation.pod, out->mutable_pod());
  out->set_state(StateOf(container.state));
  out->set_created_unix_ns(container.created_at);
  out->set_started_unix_ns(container.started_at);
  FillExit(container, explanation.record, out);
  FillLimits(container.cgroup,
             explanation.container_limits ? explanation.container_limits : container.config.resources,
             out->mutable_limits());
  FillLimits(explanation.pod->cgroup, explanation.pod_limits, out->mutable_pod_limits());
  if (!explanation.container_limits)
    out->add_notes("the container's cgroup is gone, so its limits are those of its record");
  if (explanation.stats) FillUsage(*explanation.stats, out);
  if (explanation.record) FillThrottling(explanation.record->throttling, out->mutable_throttling());
  const auto& lines = explanation.last_log_lines;
  const std::size_t wanted = max_log_lines == 0 ? kDefaultLogLines : max_log_lines;
  for (std::size_t i = lines.size() > wanted ? lines.size() - wanted : 0; i < lines.size(); ++i) {
    FillLogLine(lines[i], out->add_last_log_lines());
  }
  out->set_log_path(container.log_path);
}

void FillPod(const runtime::Runtime& runtime, const runtime::Explanation& explanation,
             ops::PodExplanation* out) {
  const auto& pod = *explanation.pod;
  FillPodIdentity(runtime, pod, out->mutable_identity());
  const bool ready = pod.state == runtime::PodState::kReady;
  out->set_state(ready ? ops::LIFE_STATE_RUNNING : ops::LIFE_STATE_EXITED);
  out->set_created_unix_ns(pod.created_at);
  if (!ready) {
    out->set_reason("NotReady");
    out->set_message(pod.message);
  }
  for (const auto& ip : pod.ips) out->add_addresses(ip);
  out->set_network_namespace(pod.network_namespace);
  FillLimits(pod.cgroup, explanation.pod_limits, out->mutable_limits());
  std::vector<std::shared_ptr<const runtime::ContainerStatus>> members;
  for (const auto snapshot = runtime.snapshot(); const auto& container : snapshot->containers) {
    if (container->pod_id == pod.id) members.push_back(container);
  }
  std::sort(members.begin(), members.end(),
            [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
  for (const auto& container : members) {
    auto* summary = out->add_containers();
    FillIdentity(runtime, *container, pod, summary->mutable_identity());
    summary->set_state(StateOf(container->state));
    if (!container->exit) continue;
    summary->mutable_exit()->set_exit_code(container->exit->exit_code);
    summary->mutable_exit()->set_reason(container->exit->reason);
    summary->mutable_exit()->set_message(container->exit->message);
    summary->mutable_exit()->set_started_unix_ns(container->started_at);
    summary->mutable_exit()->set_finished_unix_ns(container->exit->finished_at);
  }
}

}  // namespace

void FillExplanation(const runtime::Runtime& runtime, const runtime::Explanation& explanation,
                     std::uint32_t max_log_lines, ops::ExplainResponse* reply) {
  if (explanation.container != nullptr) {
    FillContainer(runtime, explanation, max_log_lines, reply->mutable_container());
  } else {
    FillPod(runtime, explanation, reply->mutable_pod());
  }
}

}  // namespace berth::cri
