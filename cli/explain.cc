// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/ids.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {

void Line(const std::string& key, const std::string& value) {
  if (!value.empty())
    std::cout << key << std::string(key.size() < 12 ? 12 - key.size() : 1, ' ') << value << "\n";
}

std::string State(ops::LifeState state) {
  switch (state) {
    case ops::LIFE_STATE_CREATED:
      return "created, not started";
    case ops::LIFE_STATE_RUNNING:
      return "running";
    case ops::LIFE_STATE_EXITED:
      return "ended";
    default:
      return "unknown";
  }
}

std::string Verdict(const ops::OomExplanation& oom) {
  std::string text;
  switch (oom.verdict()) {
    case ops::OOM_VERDICT_MAIN_KILLED:
      text = "the main process was killed for memory";
      break;
    case ops::OOM_VERDICT_OTHER_KILLED:
      text = "a child or an exec was killed for memory, not the main process";
      break;
    case ops::OOM_VERDICT_NONE:
      return "nothing was killed for memory";
    default:
      return "unknown";
  }
  if (oom.kill_count() > 1) absl::StrAppend(&text, " (", oom.kill_count(), " kills in all)");
  if (!oom.victim_comm().empty())
    absl::StrAppend(&text, "; victim ", Printable(oom.victim_comm()), ", host pid ", oom.victim_host_pid());
  if (oom.has_victim_rss_bytes()) absl::StrAppend(&text, ", rss ", Bytes(oom.victim_rss_bytes()));
  return text;
}

std::string Scope(const ops::OomExplanation& oom) {
  if (oom.verdict() != ops::OOM_VERDICT_MAIN_KILLED && oom.verdict() != ops::OOM_VERDICT_OTHER_KILLED)
    return "";
  std::string text;
  switch (oom.scope()) {
    case ops::OOM_SCOPE_CONTAINER:
      text = "the container's own limit";
      break;
    case ops::OOM_SCOPE_POD:
      text = "the pod's limit";
      break;
    case ops::OOM_SCOPE_NODE:
      text = "the node ran out of memory";
      break;
    default:
      text = "unknown which limit";
      break;
  }
  if (oom.has_limit_bytes()) absl::StrAppend(&text, " of ", Bytes(oom.limit_bytes()));
  if (oom.has_peak_bytes()) absl::StrAppend(&text, "; peak ", Bytes(oom.peak_bytes()));
  return text;
}

std::string Evidence(const ops::OomExplanation& oom) {
  std::string text;
  switch (oom.evidence()) {
    case ops::OOM_EVIDENCE_KERNEL_LOG:
      text = "the kernel's log names the process";
      break;
    case ops::OOM_EVIDENCE_SHARED_MEMORY:
      text = "the kernel's log names a process that shared its memory";
      break;
    case ops::OOM_EVIDENCE_COUNTER:
      text = "the cgroup's counter of kills";
      break;
    default:
      break;
  }
  if (oom.evidence_lost())
    absl::StrAppend(&text, text.empty() ? "" : "; ", "a part of the kernel's log was lost");
  return text;
}

std::string Limits(const ops::LimitsExplanation& limits) {
  std::vector<std::string> parts;
  parts.push_back(limits.has_memory_limit_bytes()
                      ? absl::StrCat("memory ", Bytes(limits.memory_limit_bytes()))
                      : "memory unlimited");
  if (limits.has_memory_usage_bytes())
    parts.back() += absl::StrCat(" (now ", Bytes(limits.memory_usage_bytes()), ")");
  if (limits.has_cpu_quota_us() && limits.cpu_quota_us() > 0) {
    parts.push_back(absl::StrCat("cpu ", limits.cpu_quota_us(), " of ", limits.cpu_period_us(), " us"));
  } else {
    parts.push_back("cpu unlimited");
  }
  if (limits.has_cpu_shares()) parts.push_back(absl::StrCat("shares ", limits.cpu_shares()));
  if (limits.has_pids_limit()) parts.push_back(absl::StrCat("pids ", limits.pids_limit()));
  if (!limits.cpuset_cpus().empty()) parts.push_back(absl::StrCat("cpus ", limits.cpuset_cpus()));
  return absl::StrCat(absl::StrJoin(parts, ", "), "  ", limits.cgroup_path());
}

void Throttling(const ops::ThrottlingExplanation& throttling) {
  if (throttling.throttled_periods() == 0) return;
  Line("throttled", absl::StrCat(throttling.throttled_periods(), " of ", throttling.periods(), " periods, ",
                                 Duration(static_cast<std::int64_t>(throttling.throttled_ns())), " in all"));
}

void Exit(const ops::ExitExplanation& exit) {
  std::string how = absl::StrCat(exit.reason(), ", exit code ", exit.exit_code());
  if (exit.signal() != 0) absl::StrAppend(&how, " (signal ", exit.signal(), ")");
  Line("end", how);
  Line("message", Printable(exit.message()));
  Line("finished", absl::StrCat(Time(exit.finished_unix_ns()), ", after ", Duration(exit.duration_ns())));
  Line("cpu",
       absl::StrCat(Duration(exit.user_cpu_ns()), " user, ", Duration(exit.system_cpu_ns()), " system"));
  if (!exit.durable()) Line("record", "not on disk yet: the disk refused it");
}

void Container(const ops::ContainerExplanation& container) {
  const auto& id = container.identity();
  Line("container", absl::StrCat(Printable(id.name()), "  attempt ", id.attempt(), "  ", id.id()));
  Line("pod", absl::StrCat(Printable(container.pod().namespace_()), "/", Printable(container.pod().name()),
                           "  ", base::ShortId(container.pod().id())));
  Line("image", Printable(id.image()));
  std::vector<std::string> words(id.command().begin(), id.command().end());
  Line("command", Printable(absl::StrJoin(words, " ")));
  Line("state", absl::StrCat(State(container.state()),
                             id.host_pid() > 0 ? absl::StrCat(", host pid ", id.host_pid()) : ""));
  Line("created", Time(container.created_unix_ns()));
  Line("started", Time(container.started_unix_ns()));
  if (container.has_exit()) Exit(container.exit());
  if (container.has_stop()) {
    Line("stop", absl::StrCat("asked at ", Time(container.stop().requested_unix_ns()), ", ",
                              container.stop().signal(), ", grace ", container.stop().grace_seconds(), " s",
                              container.stop().killed() ? ", then killed" : ""));
  }
  if (container.has_oom()) {
    Line("memory", Verdict(container.oom()));
    Line("limit hit", Scope(container.oom()));
    Line("evidence", Evidence(container.oom()));
    Line("kernel", Printable(container.oom().kernel_line()));
  }
  if (container.has_limits()) Line("limits", Limits(container.limits()));
  if (container.has_pod_limits()) Line("pod limits", Limits(container.pod_limits()));
  if (container.has_throttling()) Throttling(container.throttling());
  for (const auto& note : container.notes()) Line("note", Printable(note));
  Line("log", container.log_path());
  for (const auto& line : container.last_log_lines()) {
    std::cout << "  " << Time(line.time_unix_ns()) << " " << line.stream() << " " << Printable(line.text())
              << "\n";
  }
}

void Pod(const ops::PodExplanation& pod) {
  Line("pod", absl::StrCat(Printable(pod.identity().namespace_()), "/", Printable(pod.identity().name()),
                           "  attempt ", pod.identity().attempt(), "  ", pod.identity().id()));
  Line("state", pod.state() == ops::LIFE_STATE_RUNNING ? "ready" : "not ready");
  Line("reason", pod.reason());
  Line("message", Printable(pod.message()));
  Line("created", Time(pod.created_unix_ns()));
  Line("addresses", absl::StrJoin(pod.addresses(), ", "));
  if (pod.has_limits()) Line("limits", Limits(pod.limits()));
  if (pod.has_throttling()) Throttling(pod.throttling());
  for (const auto& container : pod.containers()) {
    std::string line = absl::StrCat(base::ShortId(container.identity().id()), "  ",
                                    Printable(container.identity().name()), "  ", State(container.state()));
    if (container.has_exit())
      absl::StrAppend(&line, "  ", container.exit().reason(), " ", container.exit().exit_code(), "  ",
                      Printable(container.exit().message()));
    Line("container", line);
  }
  for (const auto& note : pod.notes()) Line("note", Printable(note));
}

}  // namespace

absl::Status Explain(Connection& daemon, const std::string& id) {
  ops::ExplainRequest request;
  request.set_id(id);
  const auto response = daemon.Explain(request);
  if (!response.ok()) return response.status();
  if (response->has_container()) Container(response->container());
  if (response->has_pod()) Pod(response->pod());
  return absl::OkStatus();
}

absl::Status Doctor(Connection& daemon, int* failures) {
  const auto response = daemon.Doctor();
  if (!response.ok()) return response.status();
  *failures = 0;
  for (const auto& check : response->checks()) {
    const char* mark = "?";
    switch (check.status()) {
      case ops::DOCTOR_STATUS_OK:
        mark = "ok";
        break;
      case ops::DOCTOR_STATUS_WARNING:
        mark = "warning";
        break;
      case ops::DOCTOR_STATUS_FAILURE:
        mark = "FAILURE";
        ++*failures;
        break;
      case ops::DOCTOR_STATUS_SKIPPED:
        mark = "skipped";
        break;
      default:
        break;
    }
    Line(mark, absl::StrCat(check.name(), ": ", Printable(check.found())));
    if (!check.remedy().empty()) Line("", absl::StrCat("→ ", Printable(check.remedy())));
  }
  return absl::OkStatus();
}

}  // namespace berth::cli
