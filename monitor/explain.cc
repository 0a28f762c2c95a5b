// SPDX-License-Identifier: Apache-2.0
#include "monitor/explain.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <vector>

#include "base/clock.h"
#include "base/process.h"
#include "monitor/record_writer.h"
#include "monitor/runtime_call.h"

namespace berth::monitor {
namespace {

std::string Printed(const char* format, double value, const char* unit) {
  char text[64];
  const int length = std::snprintf(text, sizeof text, format, value);
  return std::string(text, static_cast<std::size_t>(length)) + " " + unit;
}

std::string ScopeWords(const OomEvidence& oom) {
  if (oom.scope == "node") return "at the end of the node's memory";
  const std::string limit = oom.limit_bytes ? " of " + HumanBytes(*oom.limit_bytes) : "";
  if (oom.scope == "container") return "at the container limit" + limit;
  if (oom.scope == "pod") return "at the pod limit" + limit;
  return "at a limit that the kernel did not name";
}

std::string VictimWords(const OomEvidence& oom) {
  const char* who = oom.verdict ? "" : "child ";
  if (!oom.victim) return oom.verdict ? "the kernel killed the first process" : "the kernel killed a child";
  return "killed " + std::string(who) + oom.victim->comm + " (host pid " +
         std::to_string(oom.victim->host_pid) + ", rss " + HumanBytes(oom.victim->rss_bytes) + ")";
}

std::string OomWords(const OomEvidence& oom) {
  std::string text = "out of memory: " + VictimWords(oom);
  if (oom.evidence == "shared memory") text += ", which shared its memory with the first process,";
  text += " " + ScopeWords(oom);
  if (oom.peak_bytes) text += "; peak " + HumanBytes(*oom.peak_bytes);
  text += "; kill " + std::to_string(oom.kills) + " of this container";
  if (oom.evidence == "counter") text += "; told by the cgroup's counter, the kernel log could not be read";
  return text;
}

std::string StopWords(const ExitRecord& record) {
  const StopEvidence& stop = record.stop;
  const bool sigkill = record.signaled && record.signal == SIGKILL;
  if (stop.killed && (sigkill || stop.signal == 0)) {
    return stop.grace_ms > 0 ? "stopped by request, killed after " +
                                   HumanDuration(stop.grace_ms * base::kMillisecondNs) + " grace"
                             : "stopped by request, killed at once";
  }
  std::string text = "stopped by request";
  if (stop.signal != 0) text += " with " + base::SignalName(stop.signal);
  if (stop.requested_at != 0 && record.finished_at >= stop.requested_at) {
    text += " after " + HumanDuration(record.finished_at - stop.requested_at);
  }
  return text;
}

std::string SignalWords(const ExitRecord& record) {
  if (record.signal == SIGSYS) return "killed by SIGSYS: a system call that its seccomp profile forbids";
  if (record.signal == SIGKILL) {
    std::string text = "killed by SIGKILL, neither for memory nor by a request";
    if (record.oom.evidence_lost) text += "; the kernel log could not be read in full";
    return text;
  }
  return "killed by " + base::SignalName(record.signal);
}

// Measured with a static program of 1 MiB: crun 1.8 starts from 256 KiB (its init is a copy of itself that
// execs at once), runc 1.1 from 2 MiB (a Go program, 2.3 MiB at its peak).
std::string StartingNeeds(const std::string& runtime) {
  const std::string name = runtime.substr(runtime.rfind('/') + 1);
  if (name == "crun") return "crun takes about 0.5 MiB, the program comes on top";
  if (name == "runc") return "runc takes about 3 MiB, the program comes on top";
  return "crun takes about 0.5 MiB, runc about 3 MiB, the program comes on top";
}

}  // namespace

std::string HumanBytes(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  const char* units[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    ++unit;
  }
  return Printed("%.1f", value, units[unit]);
}

std::string HumanDuration(std::int64_t ns) {
  const double seconds =
      static_cast<double>(std::max<std::int64_t>(ns, 0)) / static_cast<double>(base::kSecondNs);
  if (seconds >= 120) {
    const auto whole = static_cast<std::int64_t>(seconds);
    return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  }
  std::string text = Printed("%.1f", seconds, "s");
  if (const auto zero = text.find(".0 s"); zero != std::string::npos && seconds >= 1)
    return text.substr(0, zero) + " s";
  return text;
}

void Explain(ExitRecord& record) {
  if (record.signaled) record.exit_code = 128 + record.signal;
  record.reason =
      record.oom.verdict ? "OOMKilled" : (record.exit_code == 0 && !record.signaled ? "Completed" : "Error");
  std::vector<std::string> parts;
  if (record.oom.kills > 0) parts.push_back(OomWords(record.oom));
  if (record.stop.requested && !record.oom.verdict) {
    parts.push_back(StopWords(record));
  } else if (record.signaled && !record.oom.verdict) {
    parts.push_back(SignalWords(record));
  } else if (record.oom.kills > 0 && !record.oom.verdict) {
    parts.push_back("the first process ended by itself with exit code " + std::to_string(record.exit_code));
  }
  if (record.log_dropped_bytes > 0)
    parts.push_back(HumanBytes(record.log_dropped_bytes) + " of its log were lost");
  record.message.clear();
  for (const auto& part : parts) {
    if (!record.message.empty()) record.message += "; ";
    record.message += part;
  }
  record.message = Shorten(record.message);
}

void ExplainStartFailure(ExitRecord& record, const std::string& command, bool out_of_memory,
                         std::optional<std::int64_t> limit_bytes, const std::string& runtime) {
  const std::string text = record.start_failure ? record.start_failure->text : "";
  record.reason = "StartError";
  record.exit_code = out_of_memory || record.stop.requested ? 128 : StartExitCode(text);
  std::string words = text;
  std::transform(words.begin(), words.end(), words.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string quoted = "the command";
  if (!command.empty()) {
    quoted = '"';
    quoted += command;
    quoted += '"';
  }
  if (record.stop.requested) {
    record.message = "killed by request while it was starting";
  } else if (out_of_memory) {
    record.message =
        (limit_bytes && *limit_bytes > 0 ? "limit " + HumanBytes(static_cast<std::uint64_t>(*limit_bytes))
                                         : "the memory limit") +
        " is below what the runtime needs to start a container (" + StartingNeeds(runtime) + ")";
    if (!text.empty()) record.message += ": " + text;
  } else if (record.exit_code == 127) {
    record.message = "exec " + quoted + ": " +
                     (command.find('/') == std::string::npos ? "executable file not found in $PATH"
                                                             : "no such file or directory");
  } else if (record.exit_code == 126) {
    const char* why = words.find("format") != std::string::npos      ? "exec format error"
                      : words.find("directory") != std::string::npos ? "is a directory"
                                                                     : "permission denied";
    record.message = "exec " + quoted + ": " + why;
  } else {
    record.message = text.empty() ? "the OCI runtime failed without a word" : text;
  }
  record.message = Shorten(record.message);
}

}  // namespace berth::monitor
