// SPDX-License-Identifier: Apache-2.0
// The second half of a container's life: requests while it runs, and its end.
#include "monitor/container.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "monitor/explain.h"
#include "monitor/json_read.h"
#include "monitor/record_writer.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {

// How often a connection is told that more of a log was lost.
constexpr std::int64_t kTellDropped = base::kSecondNs;

std::uint64_t Microseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
}

}  // namespace

Container::Container(Context& context, StartRequest request)
    : context_(context),
      request_(std::move(request)),
      program_{request_.runtime, request_.runtime_root, request_.runtime_args, request_.hide_mount},
      log_([this](std::uint64_t total) { LogDropped(total); }),
      attachments_(std::make_shared<Attachments>(context.loop, [this] { EndStdin(); })),
      streams_(
          context.loop, log_,
          [this](const std::string& stream, std::string_view bytes) { attachments_->Take(stream, bytes); }),
      oom_(context.loop, context.cgroups, request_.cgroup, request_.pod_cgroup) {}

Container::~Container() {
  *stopped_ = true;
  context_.loop.Cancel(retry_);
  attachments_->Finish();
}

nlohmann::json Container::Describe() const {
  const char* state = state_ == State::kStarting ? "starting"
                      : state_ == State::kExited ? "exited"
                                                 : "running";
  return {{"id", request_.container_id},
          {"state", state},
          {"pid", pid_},
          {"start_ticks", start_ticks_},
          {"started_at", started_at_}};
}

void Container::LogDropped(std::uint64_t total) {
  const std::int64_t now = base::MonotonicNs();
  if (told_dropped_ != 0 && now - told_dropped_at_ < kTellDropped) return;
  if (told_dropped_ == 0)
    Say("the log '" + request_.log_path + "' cannot be written, what comes is dropped and counted");
  told_dropped_ = total;
  told_dropped_at_ = now;
  context_.broadcast({{"event", "log_dropped"}, {"container_id", request_.container_id}, {"bytes", total}});
}

std::optional<ReplyError> Container::Signal(const SignalRequest& request) {
  if (state_ == State::kEnding || state_ == State::kExited || ended_)
    return ReplyError{kErrNotRunning, "", "it has ended"};
  if (!stop_.requested) {
    stop_.requested = true;
    stop_.signal = request.signal;
    stop_.grace_ms = request.grace_ms;
    stop_.cause = request.cause;
    stop_.requested_at = base::RealtimeNs();
  }
  if (request.signal == SIGKILL) stop_.killed = true;
  if (state_ == State::kStarting) {
    signal_when_running_ = request.signal;
    return std::nullopt;
  }
  BERTH_FAULT_POINT("monitor.signal");
  if (auto sent = base::PidfdSignal(pidfd_.get(), request.signal); !sent) {
    if (sent.error().err == ESRCH) return ReplyError{kErrNotRunning, "", "it has ended"};
    return ReplyError{kErrFailed, "signal", sent.error().Message()};
  }
  return std::nullopt;
}

std::optional<ReplyError> Container::Kill(const KillRequest& request) {
  if (state_ == State::kEnding || state_ == State::kExited || ended_)
    return ReplyError{kErrNotRunning, "", "it has ended"};
  // What the kernel did before this is looked at first, so that our own kill cannot hide it.
  oom_.Look();
  if (!stop_.requested) {
    stop_.requested = true;
    stop_.cause = request.cause;
    stop_.requested_at = base::RealtimeNs();
  }
  stop_.grace_ms = request.grace_ms;
  stop_.killed = true;
  BERTH_FAULT_POINT("monitor.kill");
  if (pidfd_) (void)base::PidfdSignal(pidfd_.get(), SIGKILL);
  if (state_ == State::kStarting) {
    if (call_) call_->Kill();
    return std::nullopt;
  }
  KillRest([](const std::vector<pid_t>&) {});
  return std::nullopt;
}

std::optional<ReplyError> Container::ReopenLog() {
  if (state_ == State::kEnding || state_ == State::kExited)
    return ReplyError{kErrNotRunning, "", "it has ended"};
  BERTH_FAULT_POINT("monitor.reopen_log");
  if (auto opened = log_.Reopen(); !opened)
    return ReplyError{kErrFailed, "reopen_log", opened.error().Message()};
  return std::nullopt;
}

void Container::Attach(const AttachRequest& request, std::vector<base::UniqueFd> fds, const Reply& reply) {
  std::vector<base::UniqueFd> master;
  if (request_.tty) {
    master.emplace_back(::fcntl(stdin_.get(), F_DUPFD_CLOEXEC, 0));
    if (!master.front()) {
      const base::Error error = base::SyscallFailed(errno, "duplicate the terminal");
      return reply.failed({kErrFailed, "attach", error.Message()});
    }
  }
  Attachments::Pipes pipes;
  std::size_t next = 0;
  if (request.has_stdin) pipes.in = std::move(fds[next++]);
  if (request.has_stdout) pipes.out = std::move(fds[next++]);
  if (request.has_stderr) pipes.err = std::move(fds[next++]);
  attachments_->Add(request.attach_id, std::move(pipes));
  reply.ok({}, std::move(master));
}

// A terminal's stays: its users end their input by a character, and may come back.
void Container::EndStdin() {
  if (!request_.stdin_once || request_.tty) return;
  attachments_->SetStdin(-1);
  stdin_.Reset();
}

namespace {

CpuThrottling ReadThrottling(const cgroupfs::Host& cgroups, const std::string& path) {
  const auto cgroup = cgroups.At(path);
  if (!cgroup) return {};
  const auto stats = (*cgroup)->ReadStats();
  if (!stats) return {};
  return {stats->cpu.periods, stats->cpu.throttled_periods, stats->cpu.throttled_ns};
}

}  // namespace

ExitRecord Container::NewRecord() const {
  ExitRecord record;
  record.container_id = request_.container_id;
  record.pod_id = context_.pod_id;
  record.pid = pid_;
  record.boot_id = base::BootId();
  record.stop = stop_;
  return record;
}

void Container::End() {
  state_ = State::kEnding;
  BERTH_FAULT_POINT("monitor.ended");
  const Reaped& reaped = *ended_;
  record_ = NewRecord();
  record_.signaled = reaped.status.signaled;
  record_.signal = reaped.status.signaled ? reaped.status.code : 0;
  record_.exit_code = reaped.status.ShellCode();
  record_.started_at = started_at_;
  record_.duration_ns = std::max<std::int64_t>(reaped.monotonic_ns - started_monotonic_, 0);
  // Also after the wall clock was set back.
  record_.finished_at =
      reaped.realtime_ns >= started_at_ ? reaped.realtime_ns : started_at_ + record_.duration_ns;
  record_.user_cpu_us = Microseconds(reaped.usage.ru_utime);
  record_.system_cpu_us = Microseconds(reaped.usage.ru_stime);
  record_.max_rss_bytes = static_cast<std::uint64_t>(reaped.usage.ru_maxrss) * 1024;
  // Before the rest is killed and the cgroup goes.
  record_.throttling = ReadThrottling(context_.cgroups, request_.cgroup);
  record_.oom = oom_.Judge(reaped.status, stop_.killed, request_.memory_limit_bytes);
  const bool killed_with_holder = record_.signaled && record_.signal == SIGKILL && !record_.oom.verdict &&
                                  !stop_.killed && context_.holder_gone();
  KillRest([this, killed_with_holder](const std::vector<pid_t>& left) {
    oom_.Stop();
    streams_.DrainAndClose();
    attachments_->Finish();
    stdin_.Reset();
    record_.log_dropped_bytes = log_.dropped_bytes();
    Explain(record_);
    if (killed_with_holder)
      record_.message = "killed by the kernel: the process that held the pod's shared PID namespace died";
    if (!left.empty())
      record_.message += (record_.message.empty() ? "" : "; ") + std::to_string(left.size()) +
                         " of its processes do not die";
    StoreRecord([this] {
      state_ = State::kExited;
      pidfd_.Reset();
      context_.broadcast({{"event", "exited"}, {"container_id", request_.container_id}});
      DeleteAtRuntime([this] { Forgettable(); });
    });
  });
}

void Container::StoreRecord(std::function<void()> then) {
  auto written = WriteRecordDurable(record_, request_.record_dir);
  if (written) return then();
  Say("exit record of " + request_.container_id + ": " + written.error().Message());
  if (auto fallback = WriteRecordFallback(record_, request_.fallback_dir); fallback) {
    then();
    return RetryDurable();
  } else {
    Say("exit record of " + request_.container_id + ": " + fallback.error().Message());
  }
  // Nowhere: nobody may be told of an end that is not written down.
  retry_ = context_.loop.After(base::kSecondNs,
                               [this, then = std::move(then)]() mutable { StoreRecord(std::move(then)); });
}

void Container::RetryDurable() {
  retry_ = context_.loop.After(base::kSecondNs, [this] {
    retry_ = 0;
    if (auto written = WriteRecordDurable(record_, request_.record_dir); !written) return RetryDurable();
    ::unlink((request_.fallback_dir + "/" + kExitRecordName).c_str());
  });
}

void Container::DeleteAtRuntime(std::function<void()> then) {
  const auto finish = [this, then = std::move(then)] {
    if (auto cgroup = context_.cgroups.At(request_.cgroup)) {
      if (auto removed = (*cgroup)->Remove(); !removed) Say(removed.error().Message());
    }
    ::unlink(PathInRunDir("pid").c_str());
    then();
  };
  RuntimeCall::Options options;
  options.program = &program_;
  options.log_file = PathInRunDir("runtime.log");
  options.command = {"delete", "--force", request_.container_id};
  BERTH_FAULT_POINT("monitor.runtime_delete");
  auto call = RuntimeCall::Start(context_.loop, context_.reaper, options,
                                 [this, finish](const RuntimeOutcome& outcome) {
                                   call_.reset();
                                   if (outcome.status.ShellCode() != 0)
                                     Say("delete " + request_.container_id + ": " + outcome.text);
                                   finish();
                                 });
  if (call) {
    call_ = std::move(*call);
  } else {
    Say("delete " + request_.container_id + ": " + call.error().Message());
    context_.loop.Post(finish);
  }
}

void Container::Forgettable() {
  if (state_ != State::kExited || call_) return;
  cleaned_ = true;
  auto waiting = std::move(when_forgettable_);
  when_forgettable_.clear();
  for (auto& then : waiting) context_.loop.Post(std::move(then));
  context_.loop.Post(context_.container_gone);
}

bool Container::WhenForgettable(std::function<void()> then) {
  if (state_ != State::kExited) return false;
  if (cleaned_) {
    context_.loop.Post(std::move(then));
  } else {
    when_forgettable_.push_back(std::move(then));
  }
  return true;
}

}  // namespace berth::monitor
