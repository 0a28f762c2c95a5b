// SPDX-License-Identifier: Apache-2.0
// The exit record: how a container ended, written once, by the reaper, before anybody is told (design.md,
// rule 1). Version 1, frozen: fields may be added, never changed or removed; unknown ones are ignored. Links
// only base_core.
//
// Place: <record_dir>/exit.json on disk (temp file = exit.reserve, made and fallocated when the start request
// arrives; write, fsync, rename, fsync of the directory). On ENOSPC/EIO: <fallback_dir>/exit.json with
// durable=false, and the disk tried again every second.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace berth::monitor {

inline constexpr char kExitRecordName[] = "exit.json";
inline constexpr char kExitReserveName[] = "exit.reserve";

struct OomVictim {
  std::string comm;
  std::int64_t host_pid = 0;
  std::uint64_t rss_bytes = 0;
};

struct OomEvidence {
  bool verdict = false;                      // PID 1 was killed by the kernel for memory
  std::string evidence;                      // "kernel log", "counter", "shared memory", "" (none)
  bool evidence_lost = false;                // the kernel log overran, or could not be read
  std::string scope;                         // "container", "pod", "node", "unknown"
  std::optional<std::uint64_t> limit_bytes;  // of that scope
  std::optional<std::uint64_t> peak_bytes;
  std::optional<OomVictim> victim;  // the kill that decided, or the last one
  std::uint64_t kills = 0;          // of this container's processes, its whole life
  std::uint64_t child_kills = 0;    // of those, not PID 1
};

struct StopEvidence {  // what we ourselves did
  bool requested = false;
  int signal = 0;
  std::int64_t grace_ms = 0;
  bool killed = false;  // SIGKILL by us after the grace, or at once
  std::string cause;    // "stop", "remove", "pod stop"
  std::int64_t requested_at = 0;
};

// How much its cpu limit held it back, its whole life; all 0 without a quota.
struct CpuThrottling {
  std::uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;
};

struct StartFailure {
  std::string stage;  // "create", "arm", "start"
  std::string text;   // the OCI runtime's words, trimmed
};

struct ExitRecord {
  int version = 1;
  std::string container_id, pod_id;
  std::int64_t pid = 0;        // host pid of PID 1; 0 when it never was
  std::int32_t exit_code = 0;  // 128+n for signals
  bool signaled = false;
  int signal = 0;
  std::string reason;            // Completed, Error, OOMKilled, StartError
  std::string message;           // for people; "" when there is nothing to say
  std::int64_t started_at = 0;   // wall clock ns; 0 when it never ran
  std::int64_t finished_at = 0;  // ≥ started_at also after a clock step (started_at + duration_ns)
  std::int64_t duration_ns = 0;  // monotonic
  std::string boot_id;
  bool durable = true;
  std::uint64_t user_cpu_us = 0, system_cpu_us = 0, max_rss_bytes = 0;  // wait4's rusage
  std::uint64_t log_dropped_bytes = 0;
  CpuThrottling throttling;
  OomEvidence oom;
  StopEvidence stop;
  std::optional<StartFailure> start_failure;
};

std::string ToJson(const ExitRecord& record);
base::Result<ExitRecord> ExitRecordFromJson(
    const std::string& text);  // Malformed for what is no record of version ≥ 1

// Reads <record_dir>/exit.json, else <fallback_dir>/exit.json; ENOENT when there is none.
base::Result<ExitRecord> ReadExitRecord(const std::string& record_dir, const std::string& fallback_dir);

}  // namespace berth::monitor
