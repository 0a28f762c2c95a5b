// SPDX-License-Identifier: Apache-2.0
// Protocol of berthd and berth-monitor, version 1, frozen (docs/monitor-protocol.md). A SOCK_SEQPACKET unix
// socket `monitor.sock` in the pod's 0700 state directory; one JSON object per packet, at most
// kMaxMessageBytes; descriptors ride along with SCM_RIGHTS. Request:  {"seq": n, "type": "start", …} Reply:
// {"seq": n, …} or {"seq": n, "error": {"code", "stage", "message"}} Event:    {"event": "exited", …} (no
// seq), to every connection that said hello. The first request is `hello`. Unknown fields are ignored; an
// unknown type gets error code "unsupported". So additions need no new version. Several connections are
// served; what one began (execs) ends with it, containers never do.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::monitor {

inline constexpr int kProtocolVersion = 1;
inline constexpr std::size_t kMaxMessageBytes = 64 * 1024;
inline constexpr char kSocketName[] = "monitor.sock";

// Error codes of replies.
inline constexpr char kErrUnsupported[] = "unsupported";   // type or version not known
inline constexpr char kErrInvalid[] = "invalid";           // malformed request
inline constexpr char kErrNotFound[] = "not_found";        // no such container or exec here
inline constexpr char kErrNotRunning[] = "not_running";    // it has ended
inline constexpr char kErrStartFailed[] = "start_failed";  // an exit record with reason StartError is on disk
inline constexpr char kErrExecFailed[] =
    "exec_failed";                              // the OCI runtime's exec failed; message has its words
inline constexpr char kErrBusy[] = "busy";      // shutdown with live containers
inline constexpr char kErrFailed[] = "failed";  // a system call failed

// hello → {"version": 1, "monitor": "0.1.0", "pid": n, "pod": id}
struct HelloRequest {
  std::vector<int> versions;
  std::string client;
};

// holder: starts (once) the built-in reaper of a shared PID namespace and pins the namespace at `pin`.
// → {"pid": n, "start_ticks": n}; event "holder_exited" {"signal"/"exit_code"} when it dies.
struct HolderRequest {
  std::string pin;                        // file to bind the namespace to
  std::vector<std::string> cgroup_procs;  // its own small cgroup
  std::optional<int> oom_score_adj;
  std::string user_namespace;  // file of the one that the PID namespace shall belong to; "" = ours
};

// start: OCI create, arm, OCI start. → {"pid", "start_ticks", "started_at"}. On failure the exit record
// (StartError, 128/127/126) is on disk before the error reply, and no "exited" event follows.
struct StartRequest {
  std::string container_id;
  std::string bundle;                     // directory of config.json
  std::string runtime;                    // OCI runtime's path
  std::string runtime_root;               // its --root
  std::vector<std::string> runtime_args;  // other global arguments
  std::string hide_mount;                 // SpawnOptions.hide_mount for every call of the runtime; "" = none
  std::string
      log_path;  // absolute; opened O_APPEND|O_CREAT 0640 by start. Not a regular file after opening: refused
  bool tty = false;
  bool stdin_open = false;
  bool stdin_once = false;
  std::string record_dir;    // on disk: exit.json
  std::string fallback_dir;  // on tmpfs
  std::string run_dir;       // pid file, console socket
  std::string cgroup;        // "/kubepods/…/<id>"
  std::string pod_cgroup;    // its parent, for the pod's limit; "" when limits there are nobody's
  std::optional<std::int64_t> memory_limit_bytes;  // container's, for messages; "update" changes it
  // Owner of its pipes, so that it can open them again by /dev/stdout: the host's id for root of its user
  // namespace; unset: ours.
  std::optional<std::uint32_t> stdio_owner;
};

// signal: notes the stop, then signals PID 1 by pidfd. → {}. not_running when it has ended.
struct SignalRequest {
  std::string container_id;
  int signal = 0;
  std::string cause;          // "stop", "remove", "pod stop"
  std::int64_t grace_ms = 0;  // told in the message
};

// kill: notes the kill, then ends all processes of the container's cgroup; replies at once {}; "exited"
// follows.
struct KillRequest {
  std::string container_id;
  std::string cause;
  std::int64_t grace_ms = 0;  // the grace that was used up; 0 = killed at once
};

// exec: descriptors: [stdin,] stdout, stderr (as the flags say); with tty one descriptor of a pty's master is
// returned instead. → {"pid", "start_ticks"}; event "exec_exited" {"exec_id", "exit_code", "signaled",
// "signal", "oom_killed"}. The exec's whole tree is killed when the connection that began it closes.
struct ExecRequest {
  std::string container_id;
  std::string exec_id;
  std::string process_file;  // OCI process JSON
  bool tty = false;
  bool has_stdin = false;  // fds[0]; else /dev/null
};
// exec_kill: ends an exec's whole tree. → {}; "exec_exited" follows.
struct ExecKillRequest {
  std::string exec_id;
};

// attach: descriptors as the flags say: the reading end of a pipe with the client's input, the writing ends
// of pipes for what the container writes from now on. → {}; with a terminal its master comes along, for its
// size. It lasts until the pipes close: from the client's side, or when the container has ended.
struct AttachRequest {
  std::string container_id;
  std::string attach_id;
  bool has_stdin = false;
  bool has_stdout = false;
  bool has_stderr = false;
};
// attach_input_last: the end of that attacher's input, whenever it comes, was meant by the client (it closed
// its input or left), not the end of the daemon. → {}. With stdin_once it ends the container's input.
struct AttachInputLastRequest {
  std::string container_id;
  std::string attach_id;
};

// reopen_log {container_id} → {}: the file at log_path is opened anew between two records.
// update {container_id, memory_limit_bytes} → {}
// list → {"containers": [{"id", "state": "starting"|"running"|"exited", "pid", "start_ticks", "started_at"}],
// "holder": {…}|null} forget {container_id} → {}: drops an exited container (record read, bundle removed).
// not_found is success for callers. shutdown → {}: ends the monitor (and the holder) when no container lives,
// else "busy". ping → {}

// Event "exited": {"container_id"}: its exit record is on disk (or in fallback_dir).
// Event "log_dropped": {"container_id", "bytes"}: the log file could not be written; drained and counted.

void to_json(nlohmann::json& json, const HelloRequest& request);
void from_json(const nlohmann::json& json, HelloRequest& request);
void to_json(nlohmann::json& json, const HolderRequest& request);
void from_json(const nlohmann::json& json, HolderRequest& request);
void to_json(nlohmann::json& json, const StartRequest& request);
void from_json(const nlohmann::json& json, StartRequest& request);
void to_json(nlohmann::json& json, const SignalRequest& request);
void from_json(const nlohmann::json& json, SignalRequest& request);
void to_json(nlohmann::json& json, const KillRequest& request);
void from_json(const nlohmann::json& json, KillRequest& request);
void to_json(nlohmann::json& json, const ExecRequest& request);
void from_json(const nlohmann::json& json, ExecRequest& request);
void to_json(nlohmann::json& json, const ExecKillRequest& request);
void from_json(const nlohmann::json& json, ExecKillRequest& request);
void to_json(nlohmann::json& json, const AttachRequest& request);
void from_json(const nlohmann::json& json, AttachRequest& request);
void to_json(nlohmann::json& json, const AttachInputLastRequest& request);
void from_json(const nlohmann::json& json, AttachInputLastRequest& request);

}  // namespace berth::monitor
