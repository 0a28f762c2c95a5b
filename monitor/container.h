// SPDX-License-Identifier: Apache-2.0
// One container from its start request to its forget: create, arm, start, run, end. Nothing here waits: each
// step goes on when the child or timer it needs tells the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/process.h"
#include "monitor/attach.h"
#include "monitor/birth.h"
#include "monitor/cgroup_kill.h"
#include "monitor/console.h"
#include "monitor/context.h"
#include "monitor/exit_record.h"
#include "monitor/log_streams.h"
#include "monitor/log_writer.h"
#include "monitor/messages.h"
#include "monitor/oom_watch.h"
#include "monitor/runtime_call.h"

namespace berth::monitor {

class Container {
 public:
  enum class State { kStarting, kRunning, kEnding, kExited };

  Container(Context& context, StartRequest request);
  ~Container();

  // Replies when the command runs, or with start_failed when its record is on disk.
  void Start(Reply reply);
  std::optional<ReplyError> Signal(const SignalRequest& request);
  std::optional<ReplyError> Kill(const KillRequest& request);
  std::optional<ReplyError> ReopenLog();
  // `fds` as the flags say.
  void Attach(const AttachRequest& request, std::vector<base::UniqueFd> fds, const Reply& reply);
  void AttachInputLast(const std::string& attach_id) { attachments_->InputIsLast(attach_id); }
  void Update(std::optional<std::int64_t> memory_limit_bytes) {
    request_.memory_limit_bytes = memory_limit_bytes;
  }
  // Once exited and cleaned up: nothing refers to it any more and it can be dropped. Runs `then` when that is
  // so; false while it lives.
  bool WhenForgettable(std::function<void()> then);
  bool forgettable() const { return cleaned_; }

  const StartRequest& request() const { return request_; }
  const RuntimeProgram& program() const { return program_; }
  State state() const { return state_; }
  nlohmann::json Describe() const;
  OomWatch& oom() { return oom_; }
  const std::vector<std::string>& cgroup_procs() const { return cgroup_procs_; }

 private:
  std::optional<base::Error> Prepare(std::string& stage);
  base::Result<void> OpenStdio(std::vector<base::SpawnOptions::Fd>& fds);
  void Create();
  void Created(const RuntimeOutcome& outcome);
  void Arm();
  void StartCreated();
  void Confirm();
  void Run();
  void FirstProcessEnded(const Reaped& reaped);
  void FailStart(const std::string& stage, const std::string& text);
  void FinishFailedStart(ExitRecord record, bool out_of_memory);
  void End();
  void KillRest(std::function<void(const std::vector<pid_t>&)> then);
  void StoreRecord(std::function<void()> then);
  void RetryDurable();
  void DeleteAtRuntime(std::function<void()> then);
  void Forgettable();
  void LogDropped(std::uint64_t total);
  void EndStdin();
  ExitRecord NewRecord() const;
  std::string EarlyWords();
  std::string PathInRunDir(const char* name) const { return request_.run_dir + "/" + name; }

  Context& context_;
  StartRequest request_;
  const RuntimeProgram program_;
  State state_ = State::kStarting;
  Reply reply_;
  bool replied_ = false;

  pid_t pid_ = 0;
  std::uint64_t start_ticks_ = 0;
  base::UniqueFd pidfd_;
  std::int64_t started_at_ = 0;  // wall clock
  std::int64_t started_monotonic_ = 0;
  std::optional<Reaped> ended_;
  std::function<void()> confirm_on_end_;  // it died without execve as far as /proc tells; its reaping decides
  StopEvidence stop_;
  int signal_when_running_ = 0;

  std::vector<std::string> cgroup_procs_;
  std::unique_ptr<RuntimeCall> call_;
  std::optional<ConsoleSocket> console_;
  base::UniqueFd out_,
      err_;  // reading ends until the log streams have them; out_ is the master with a terminal
  // Where its input goes, while that is open: the pipe's writing end, or the terminal's master once more.
  base::UniqueFd stdin_;
  std::string early_words_;  // what was on stderr before the command ran: the runtime's
  LogWriter log_;
  std::shared_ptr<Attachments> attachments_;
  LogStreams streams_;
  OomWatch oom_;
  std::shared_ptr<CgroupKill> killing_;
  ExitRecord record_;
  bool cleaned_ = false;
  std::vector<std::function<void()>> when_forgettable_;
  std::shared_ptr<bool> stopped_ = std::make_shared<bool>(false);
  Loop::TimerId retry_ = 0;
  std::uint64_t told_dropped_ = 0;
  std::int64_t told_dropped_at_ = 0;
};

}  // namespace berth::monitor
