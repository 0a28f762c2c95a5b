// SPDX-License-Identifier: Apache-2.0
#include "monitor/messages.h"

#include "monitor/json_read.h"

namespace berth::monitor {

using nlohmann::json;

void to_json(json& j, const HelloRequest& r) { j = json{{"versions", r.versions}, {"client", r.client}}; }
void from_json(const json& j, HelloRequest& r) {
  Read(j, "versions", r.versions);
  Read(j, "client", r.client);
}

void to_json(json& j, const HolderRequest& r) {
  j = json{{"pin", r.pin}, {"cgroup_procs", r.cgroup_procs}};
  if (!r.user_namespace.empty()) j["user_namespace"] = r.user_namespace;
  Write(j, "oom_score_adj", r.oom_score_adj);
}
void from_json(const json& j, HolderRequest& r) {
  Read(j, "pin", r.pin);
  Read(j, "cgroup_procs", r.cgroup_procs);
  Read(j, "oom_score_adj", r.oom_score_adj);
  Read(j, "user_namespace", r.user_namespace);
}

void to_json(json& j, const StartRequest& r) {
  j = json{{"container_id", r.container_id}, {"bundle", r.bundle},
           {"runtime", r.runtime},           {"runtime_root", r.runtime_root},
           {"runtime_args", r.runtime_args}, {"hide_mount", r.hide_mount},
           {"log_path", r.log_path},         {"tty", r.tty},
           {"stdin_open", r.stdin_open},     {"stdin_once", r.stdin_once},
           {"record_dir", r.record_dir},     {"fallback_dir", r.fallback_dir},
           {"run_dir", r.run_dir},           {"cgroup", r.cgroup},
           {"pod_cgroup", r.pod_cgroup}};
  Write(j, "memory_limit_bytes", r.memory_limit_bytes);
  Write(j, "stdio_owner", r.stdio_owner);
}
void from_json(const json& j, StartRequest& r) {
  Read(j, "container_id", r.container_id);
  Read(j, "bundle", r.bundle);
  Read(j, "runtime", r.runtime);
  Read(j, "runtime_root", r.runtime_root);
  Read(j, "runtime_args", r.runtime_args);
  Read(j, "hide_mount", r.hide_mount);
  Read(j, "log_path", r.log_path);
  Read(j, "tty", r.tty);
  Read(j, "stdin_open", r.stdin_open);
  Read(j, "stdin_once", r.stdin_once);
  Read(j, "record_dir", r.record_dir);
  Read(j, "fallback_dir", r.fallback_dir);
  Read(j, "run_dir", r.run_dir);
  Read(j, "cgroup", r.cgroup);
  Read(j, "pod_cgroup", r.pod_cgroup);
  Read(j, "memory_limit_bytes", r.memory_limit_bytes);
  Read(j, "stdio_owner", r.stdio_owner);
}

void to_json(json& j, const SignalRequest& r) {
  j = json{
      {"container_id", r.container_id}, {"signal", r.signal}, {"cause", r.cause}, {"grace_ms", r.grace_ms}};
}
void from_json(const json& j, SignalRequest& r) {
  Read(j, "container_id", r.container_id);
  Read(j, "signal", r.signal);
  Read(j, "cause", r.cause);
  Read(j, "grace_ms", r.grace_ms);
}

void to_json(json& j, const KillRequest& r) {
  j = json{{"container_id", r.container_id}, {"cause", r.cause}, {"grace_ms", r.grace_ms}};
}
void from_json(const json& j, KillRequest& r) {
  Read(j, "container_id", r.container_id);
  Read(j, "cause", r.cause);
  Read(j, "grace_ms", r.grace_ms);
}

void to_json(json& j, const ExecRequest& r) {
  j = json{{"container_id", r.container_id},
           {"exec_id", r.exec_id},
           {"process_file", r.process_file},
           {"tty", r.tty},
           {"has_stdin", r.has_stdin}};
}
void from_json(const json& j, ExecRequest& r) {
  Read(j, "container_id", r.container_id);
  Read(j, "exec_id", r.exec_id);
  Read(j, "process_file", r.process_file);
  Read(j, "tty", r.tty);
  Read(j, "has_stdin", r.has_stdin);
}

void to_json(json& j, const ExecKillRequest& r) { j = json{{"exec_id", r.exec_id}}; }
void from_json(const json& j, ExecKillRequest& r) { Read(j, "exec_id", r.exec_id); }

void to_json(json& j, const AttachRequest& r) {
  j = json{{"container_id", r.container_id},
           {"attach_id", r.attach_id},
           {"has_stdin", r.has_stdin},
           {"has_stdout", r.has_stdout},
           {"has_stderr", r.has_stderr}};
}
void from_json(const json& j, AttachRequest& r) {
  Read(j, "container_id", r.container_id);
  Read(j, "attach_id", r.attach_id);
  Read(j, "has_stdin", r.has_stdin);
  Read(j, "has_stdout", r.has_stdout);
  Read(j, "has_stderr", r.has_stderr);
}

void to_json(json& j, const AttachInputLastRequest& r) {
  j = json{{"container_id", r.container_id}, {"attach_id", r.attach_id}};
}
void from_json(const json& j, AttachInputLastRequest& r) {
  Read(j, "container_id", r.container_id);
  Read(j, "attach_id", r.attach_id);
}

}  // namespace berth::monitor
