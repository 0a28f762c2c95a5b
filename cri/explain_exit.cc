// SPDX-License-Identifier: Apache-2.0
// The exit record and log lines, as `berth explain` shows them.
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/process.h"
#include "cri/explain_reply.h"

namespace berth::cri {
namespace {

namespace ops = ::berth::ops::v1;

ops::OomScope ScopeOf(const std::string& scope) {
  if (scope == "container") return ops::OOM_SCOPE_CONTAINER;
  if (scope == "pod") return ops::OOM_SCOPE_POD;
  if (scope == "node") return ops::OOM_SCOPE_NODE;
  return ops::OOM_SCOPE_UNKNOWN;
}

ops::OomEvidence EvidenceOf(const std::string& evidence) {
  if (evidence == "kernel log") return ops::OOM_EVIDENCE_KERNEL_LOG;
  if (evidence == "shared memory") return ops::OOM_EVIDENCE_SHARED_MEMORY;
  if (evidence == "counter") return ops::OOM_EVIDENCE_COUNTER;
  return ops::OOM_EVIDENCE_UNKNOWN;
}

void FillOom(const monitor::OomEvidence& oom, ops::OomExplanation* out) {
  out->set_verdict(oom.verdict     ? ops::OOM_VERDICT_MAIN_KILLED
                   : oom.kills > 0 ? ops::OOM_VERDICT_OTHER_KILLED
                                   : ops::OOM_VERDICT_NONE);
  out->set_scope(ScopeOf(oom.scope));
  out->set_evidence(EvidenceOf(oom.evidence));
  out->set_evidence_lost(oom.evidence_lost);
  out->set_kill_count(oom.kills);
  out->set_limit_unknown((oom.verdict || oom.kills > 0) && out->scope() == ops::OOM_SCOPE_UNKNOWN);
  if (oom.limit_bytes) out->set_limit_bytes(*oom.limit_bytes);
  if (oom.peak_bytes) out->set_peak_bytes(*oom.peak_bytes);
  if (!oom.victim) return;
  out->set_victim_comm(oom.victim->comm);
  out->set_victim_host_pid(static_cast<std::int32_t>(oom.victim->host_pid));
  out->set_victim_rss_bytes(oom.victim->rss_bytes);
}

void FillStop(const monitor::StopEvidence& stop, ops::StopRequest* out) {
  out->set_signal(stop.signal == 0 ? "" : base::SignalName(stop.signal));
  out->set_grace_seconds(stop.grace_ms / 1000);
  out->set_requested_unix_ns(stop.requested_at);
  out->set_killed(stop.killed);
}

}  // namespace

void FillExit(const runtime::ContainerStatus& container, const std::optional<monitor::ExitRecord>& record,
              ops::ContainerExplanation* out) {
  if (!record) {
    // Ended without a record of a reaper: the node went down, or the monitor was lost.
    if (!container.exit) return;
    auto* exit = out->mutable_exit();
    exit->set_exit_code(container.exit->exit_code);
    exit->set_reason(container.exit->reason);
    exit->set_message(container.exit->message);
    exit->set_started_unix_ns(container.started_at);
    exit->set_finished_unix_ns(container.exit->finished_at);
    out->add_notes("no exit record was written by a monitor; the end is what berthd found afterwards");
    return;
  }
  auto* exit = out->mutable_exit();
  exit->set_exit_code(record->exit_code);
  exit->set_signal(record->signal);
  exit->set_reason(record->reason);
  exit->set_message(record->message);
  exit->set_started_unix_ns(record->started_at);
  exit->set_finished_unix_ns(record->finished_at);
  exit->set_duration_ns(record->duration_ns);
  exit->set_durable(record->durable);
  exit->set_user_cpu_ns(static_cast<std::int64_t>(record->user_cpu_us) * 1000);
  exit->set_system_cpu_ns(static_cast<std::int64_t>(record->system_cpu_us) * 1000);
  if (record->stop.requested || record->stop.killed) FillStop(record->stop, out->mutable_stop());
  FillOom(record->oom, out->mutable_oom());
  if (record->start_failure) {
    out->add_notes("starting failed at stage '" + record->start_failure->stage +
                   "': " + record->start_failure->text);
  }
  if (record->log_dropped_bytes > 0) {
    out->add_notes(std::to_string(record->log_dropped_bytes) +
                   " bytes of output are missing: the log file could not be written");
  }
  if (!record->durable) out->add_notes("the exit record could not be put on disk; it lies on tmpfs");
}

void FillLogLine(const std::string& line, ops::LogLine* out) {
  const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(' ', 3));
  absl::Time time;
  std::string error;
  const bool shaped = parts.size() == 4 && (parts[1] == "stdout" || parts[1] == "stderr") &&
                      absl::ParseTime(absl::RFC3339_full, parts[0], &time, &error);
  if (!shaped) {
    out->set_text(line);
    return;
  }
  out->set_time_unix_ns(absl::ToUnixNanos(time));
  out->set_stream(parts[1]);
  out->set_partial(parts[2] == "P" || absl::StartsWith(parts[2], "P:"));
  out->set_text(parts[3]);
}

}  // namespace berth::cri
