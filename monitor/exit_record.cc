// SPDX-License-Identifier: Apache-2.0
#include "monitor/exit_record.h"

#include "base/files.h"
#include "monitor/json_read.h"

namespace berth::monitor {
namespace {

using nlohmann::json;

json OomToJson(const OomEvidence& oom) {
  json j{{"verdict", oom.verdict}, {"evidence", oom.evidence}, {"evidence_lost", oom.evidence_lost},
         {"scope", oom.scope},     {"kills", oom.kills},       {"child_kills", oom.child_kills}};
  Write(j, "limit_bytes", oom.limit_bytes);
  Write(j, "peak_bytes", oom.peak_bytes);
  if (oom.victim) {
    j["victim"] = {
        {"comm", oom.victim->comm}, {"host_pid", oom.victim->host_pid}, {"rss_bytes", oom.victim->rss_bytes}};
  }
  return j;
}

void OomFromJson(const json& j, OomEvidence& oom) {
  Read(j, "verdict", oom.verdict);
  Read(j, "evidence", oom.evidence);
  Read(j, "evidence_lost", oom.evidence_lost);
  Read(j, "scope", oom.scope);
  Read(j, "limit_bytes", oom.limit_bytes);
  Read(j, "peak_bytes", oom.peak_bytes);
  Read(j, "kills", oom.kills);
  Read(j, "child_kills", oom.child_kills);
  if (const auto at = j.find("victim"); at != j.end() && at->is_object()) {
    OomVictim victim;
    Read(*at, "comm", victim.comm);
    Read(*at, "host_pid", victim.host_pid);
    Read(*at, "rss_bytes", victim.rss_bytes);
    oom.victim = victim;
  }
}

json StopToJson(const StopEvidence& stop) {
  return {{"requested", stop.requested}, {"signal", stop.signal}, {"grace_ms", stop.grace_ms},
          {"killed", stop.killed},       {"cause", stop.cause},   {"requested_at", stop.requested_at}};
}

void StopFromJson(const json& j, StopEvidence& stop) {
  Read(j, "requested", stop.requested);
  Read(j, "signal", stop.signal);
  Read(j, "grace_ms", stop.grace_ms);
  Read(j, "killed", stop.killed);
  Read(j, "cause", stop.cause);
  Read(j, "requested_at", stop.requested_at);
}

ExitRecord FromJson(const json& j) {
  ExitRecord r;
  r.version = 0;
  Read(j, "version", r.version);
  Read(j, "container_id", r.container_id);
  Read(j, "pod_id", r.pod_id);
  Read(j, "pid", r.pid);
  Read(j, "exit_code", r.exit_code);
  Read(j, "signaled", r.signaled);
  Read(j, "signal", r.signal);
  Read(j, "reason", r.reason);
  Read(j, "message", r.message);
  Read(j, "started_at", r.started_at);
  Read(j, "finished_at", r.finished_at);
  Read(j, "duration_ns", r.duration_ns);
  Read(j, "boot_id", r.boot_id);
  Read(j, "durable", r.durable);
  Read(j, "user_cpu_us", r.user_cpu_us);
  Read(j, "system_cpu_us", r.system_cpu_us);
  Read(j, "max_rss_bytes", r.max_rss_bytes);
  Read(j, "log_dropped_bytes", r.log_dropped_bytes);
  if (const auto at = j.find("throttling"); at != j.end() && at->is_object()) {
    Read(*at, "periods", r.throttling.periods);
    Read(*at, "throttled_periods", r.throttling.throttled_periods);
    Read(*at, "throttled_ns", r.throttling.throttled_ns);
  }
  if (const auto at = j.find("oom"); at != j.end() && at->is_object()) OomFromJson(*at, r.oom);
  if (const auto at = j.find("stop"); at != j.end() && at->is_object()) StopFromJson(*at, r.stop);
  if (const auto at = j.find("start_failure"); at != j.end() && at->is_object()) {
    StartFailure failure;
    Read(*at, "stage", failure.stage);
    Read(*at, "text", failure.text);
    r.start_failure = failure;
  }
  return r;
}

}  // namespace

std::string ToJson(const ExitRecord& r) {
  json j{{"version", r.version},
         {"container_id", r.container_id},
         {"pod_id", r.pod_id},
         {"pid", r.pid},
         {"exit_code", r.exit_code},
         {"signaled", r.signaled},
         {"signal", r.signal},
         {"reason", r.reason},
         {"message", r.message},
         {"started_at", r.started_at},
         {"finished_at", r.finished_at},
         {"duration_ns", r.duration_ns},
         {"boot_id", r.boot_id},
         {"durable", r.durable},
         {"user_cpu_us", r.user_cpu_us},
         {"system_cpu_us", r.system_cpu_us},
         {"max_rss_bytes", r.max_rss_bytes},
         {"log_dropped_bytes", r.log_dropped_bytes},
         {"throttling",
          {{"periods", r.throttling.periods},
           {"throttled_periods", r.throttling.throttled_periods},
           {"throttled_ns", r.throttling.throttled_ns}}},
         {"oom", OomToJson(r.oom)},
         {"stop", StopToJson(r.stop)}};
  if (r.start_failure)
    j["start_failure"] = {{"stage", r.start_failure->stage}, {"text", r.start_failure->text}};
  return Dump(j) + "\n";
}

base::Result<ExitRecord> ExitRecordFromJson(const std::string& text) {
  const auto j = ParseObject(text);
  if (!j) return base::Malformed("an exit record that is no JSON object");
  try {
    auto record = FromJson(*j);
    if (record.version < 1) return base::Malformed("an exit record without a version");
    if (record.container_id.empty() || record.reason.empty())
      return base::Malformed("an exit record without container or reason");
    return record;
  } catch (const nlohmann::json::exception& wrong) {
    return base::Malformed(std::string("an exit record with a wrong field: ") + wrong.what());
  }
}

base::Result<ExitRecord> ReadExitRecord(const std::string& record_dir, const std::string& fallback_dir) {
  auto text = base::ReadFile(record_dir + "/" + kExitRecordName);
  if (!text && text.error().err == ENOENT && !fallback_dir.empty())
    text = base::ReadFile(fallback_dir + "/" + kExitRecordName);
  if (!text) return text.TakeError();
  return ExitRecordFromJson(*text);
}

}  // namespace berth::monitor
