// SPDX-License-Identifier: Apache-2.0
// The first half of a container's life: create, arm, start, and what failed of it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "monitor/container.h"
#include "monitor/explain.h"
#include "monitor/json_read.h"
#include "monitor/record_writer.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {

// For how long an init may take from the runtime's "go" to its execve; then it counts as running (a hung
// network file system).
constexpr std::int64_t kExecuteLimit = 30 * base::kSecondNs;
// For how long processes may refuse to die (D state) before the end is reported all the same.
constexpr std::int64_t kKillLimit = 10 * base::kSecondNs;

// argv[0] of a bundle; "" when it cannot be read.
std::string CommandOf(const std::string& bundle) {
  const auto text = base::ReadFile(bundle + "/config.json", 8 << 20);
  if (!text) return "";
  const auto config = ParseObject(*text);
  if (!config) return "";
  const auto process = config->find("process");
  if (process == config->end() || !process->is_object()) return "";
  const auto args = process->find("args");
  if (args == process->end() || !args->is_array() || args->empty() || !args->front().is_string()) return "";
  return args->front();
}

}  // namespace

void Container::Start(Reply reply) {
  reply_ = std::move(reply);
  std::string stage;
  if (auto error = Prepare(stage)) return FailStart(stage, error->Message());
  Create();
}

std::optional<base::Error> Container::Prepare(std::string& stage) {
  stage = "prepare";
  BERTH_FAULT_POINT("monitor.start_prepare");
  if (auto made = base::MakeDirs(request_.run_dir); !made) return made.TakeError();
  if (auto reserved = ReserveRecord(request_.record_dir); !reserved) {
    // Not a reason not to run: the end will go to the fallback directory if there is no room then either.
    Say("no room reserved for the exit record of " + request_.container_id + ": " +
        reserved.error().Message());
  }
  ::unlink(PathInRunDir("pid").c_str());
  stage = "log";
  if (!request_.log_path.empty()) {
    if (auto opened = log_.Open(request_.log_path); !opened) return opened.TakeError();
  }
  stage = "prepare";
  if (auto at = context_.cgroups.At(request_.cgroup)) {
    cgroup_procs_ = (*at)->ProcsFiles();
  } else {
    return at.TakeError();
  }
  oom_.OpenLog(context_.kernel_log);
  return std::nullopt;
}

base::Result<void> Container::OpenStdio(std::vector<base::SpawnOptions::Fd>& fds) {
  auto out = MakePipe();
  auto err = MakePipe();
  if (!out) return out.TakeError();
  if (!err) return err.TakeError();
  if (request_.stdio_owner) {
    for (const int fd : {out->write.get(), err->write.get()}) {
      if (::fchown(fd, *request_.stdio_owner, *request_.stdio_owner) != 0)
        return base::SyscallFailed(errno, "give the container its output");
    }
  }
  out_ = std::move(out->read);
  err_ = std::move(err->read);
  fds.push_back({out->write.Release(), STDOUT_FILENO});
  fds.push_back({err->write.Release(), STDERR_FILENO});
  if (request_.stdin_open) {
    auto in = MakePipe();
    if (!in) return in.TakeError();
    if (request_.stdio_owner && ::fchown(in->read.get(), *request_.stdio_owner, *request_.stdio_owner) != 0)
      return base::SyscallFailed(errno, "give the container its input");
    stdin_ = std::move(in->write);
    ::fcntl(stdin_.get(), F_SETFL, O_NONBLOCK);  // of our end only
    fds.push_back({in->read.Release(), STDIN_FILENO});
  }
  return {};
}

void Container::Create() {
  RuntimeCall::Options options;
  options.program = &program_;
  options.log_file = PathInRunDir("runtime.log");
  options.command = {"create", "--bundle", request_.bundle, "--pid-file", PathInRunDir("pid")};
  base::Result<void> stdio;
  if (request_.tty) {
    auto console = ConsoleSocket::Listen(request_.run_dir, "console.sock");
    if (!console) return FailStart("create", console.error().Message());
    console_.emplace(std::move(*console));
    options.command.insert(options.command.end(), {"--console-socket", console_->path()});
  } else {
    stdio = OpenStdio(options.fds);
  }
  options.command.push_back(request_.container_id);
  BERTH_FAULT_POINT("monitor.runtime_create");
  context_.reaper.Hold();
  auto call = stdio ? RuntimeCall::Start(context_.loop, context_.reaper, options,
                                         [this](const RuntimeOutcome& outcome) { Created(outcome); })
                    : base::Result<std::unique_ptr<RuntimeCall>>(stdio.error());
  for (const auto& fd : options.fds) ::close(fd.from);
  if (!call) {
    context_.reaper.Release();
    return FailStart("create", call.error().Message());
  }
  call_ = std::move(*call);
}

void Container::Created(const RuntimeOutcome& outcome) {
  call_.reset();
  BERTH_FAULT_POINT("monitor.runtime_created");
  if (const auto pid = ReadPidFile(PathInRunDir("pid")); pid && context_.reaper.Knows(*pid)) {
    pid_ = *pid;
    if (auto pidfd = base::PidfdOpen(pid_)) pidfd_ = std::move(*pidfd);
    if (const auto identity = base::IdentifyProcess(pid_)) start_ticks_ = identity->start_ticks;
    context_.reaper.Expect(pid_, [this](const Reaped& reaped) { FirstProcessEnded(reaped); });
  }
  context_.reaper.Release();
  if (console_) {
    if (auto master = console_->Master()) out_ = std::move(*master);
    console_.reset();
  }
  early_words_ = request_.tty ? "" : TakeAvailable(err_.get());
  if (outcome.status.signaled || outcome.status.code != 0) {
    std::string text = outcome.text.empty() ? CleanRuntimeText("", early_words_) : outcome.text;
    if (text.empty()) text = "the OCI runtime's create ended with " + outcome.status.ToString();
    return FailStart("create", text);
  }
  if (pid_ == 0) return FailStart("create", "the OCI runtime's create left no process");
  if (request_.tty && !out_) return FailStart("create", "the OCI runtime handed over no terminal");
  if (stop_.killed) return FailStart("create", "killed by request");
  early_words_.clear();
  Arm();
}

void Container::Arm() {
  BERTH_FAULT_POINT("monitor.arm");
  if (auto armed = oom_.Arm(pid_); !armed) {
    // The verdict needs no wake-ups, only the telling of children from PID 1 in rare cases does.
    Say("no wake-ups for memory kills in " + request_.cgroup + ": " + armed.error().Message());
  }
  StartCreated();
}

void Container::StartCreated() {
  RuntimeCall::Options options;
  options.program = &program_;
  options.log_file = PathInRunDir("runtime.log");
  options.command = {"start", request_.container_id};
  BERTH_FAULT_POINT("monitor.runtime_start");
  started_at_ = base::RealtimeNs();
  started_monotonic_ = base::MonotonicNs();
  auto call =
      RuntimeCall::Start(context_.loop, context_.reaper, options, [this](const RuntimeOutcome& outcome) {
        call_.reset();
        BERTH_FAULT_POINT("monitor.runtime_started");
        if (!outcome.status.signaled && outcome.status.code == 0) return Confirm();
        if (ended_ && ended_->executed) return Run();  // it ran and was gone before the runtime looked again
        std::string text = EarlyWords();
        if (text.empty() || outcome.text.size() > text.size()) text = outcome.text;
        if (text.empty()) text = "the OCI runtime's start ended with " + outcome.status.ToString();
        FailStart("start", text);
      });
  if (!call) return FailStart("start", call.error().Message());
  call_ = std::move(*call);
}

// What the runtime's init said on the container's stderr or terminal; only for containers whose command never
// ran.
std::string Container::EarlyWords() {
  const std::string words = early_words_ + TakeAvailable(request_.tty ? out_.get() : err_.get());
  return CleanRuntimeText("", words);
}

void Container::Confirm() {
  const auto settle = [this](bool executed) {
    if (executed) return Run();
    // Dead without execve, or dead so quickly that only its reaping tells: that is at hand.
    if (!ended_) return;
    if (ended_->executed) return Run();
    std::string text = EarlyWords();
    if (text.empty())
      text =
          "the container's first process ended with " + ended_->status.ToString() + " before its command ran";
    FailStart("start", text);
  };
  if (ended_) return settle(false);
  WhenExecuted(context_.loop, pid_, kExecuteLimit, stopped_, [this, settle](bool executed) {
    if (state_ != State::kStarting || replied_) return;
    if (executed || ended_) return settle(executed && !ended_);
    confirm_on_end_ = [settle] { settle(false); };
  });
}

void Container::FirstProcessEnded(const Reaped& reaped) {
  ended_ = reaped;
  if (state_ == State::kRunning) return End();
  if (confirm_on_end_) std::exchange(confirm_on_end_, nullptr)();
}

void Container::Run() {
  state_ = State::kRunning;
  *stopped_ = true;
  if (request_.tty) {
    stdin_.Reset(::fcntl(out_.get(), F_DUPFD_CLOEXEC, 0));
    if (out_) (void)streams_.Add(std::move(out_), "stdout");
  } else {
    (void)streams_.Add(std::move(out_), "stdout");
    (void)streams_.Add(std::move(err_), "stderr");
  }
  if (!request_.tty || request_.stdin_open) attachments_->SetStdin(stdin_.get());
  replied_ = true;
  reply_.ok({{"pid", pid_}, {"start_ticks", start_ticks_}, {"started_at", started_at_}}, {});
  if (ended_) return End();
  if (stop_.killed) {
    (void)base::PidfdSignal(pidfd_.get(), SIGKILL);
  } else if (signal_when_running_ != 0) {
    (void)base::PidfdSignal(pidfd_.get(), signal_when_running_);
  }
}

void Container::FailStart(const std::string& stage, const std::string& text) {
  if (replied_) return;
  replied_ = true;
  *stopped_ = true;
  state_ = State::kEnding;
  ExitRecord record = NewRecord();
  record.started_at = 0;
  record.finished_at = base::RealtimeNs();
  record.start_failure = StartFailure{stage, Shorten(text)};
  // Before the cgroup goes: its counter and the kernel log say whether memory was the reason.
  const bool out_of_memory = !stop_.killed && (SaysOutOfMemory(text) || oom_.KilledWhileStarting());
  oom_.Stop();
  if (pidfd_) (void)base::PidfdSignal(pidfd_.get(), SIGKILL);
  KillRest([this, record, out_of_memory](const std::vector<pid_t>&) {
    DeleteAtRuntime([this, record, out_of_memory] { FinishFailedStart(record, out_of_memory); });
  });
}

void Container::FinishFailedStart(ExitRecord record, bool out_of_memory) {
  ExplainStartFailure(record, CommandOf(request_.bundle), out_of_memory, request_.memory_limit_bytes,
                      request_.runtime);
  record_ = std::move(record);
  out_.Reset();
  err_.Reset();
  StoreRecord([this] {
    state_ = State::kExited;
    reply_.failed({kErrStartFailed, record_.start_failure->stage, record_.message});
    Forgettable();
  });
}

void Container::KillRest(std::function<void(const std::vector<pid_t>&)> then) {
  killing_ = CgroupKill::Start(context_.loop, DirsOf(cgroup_procs_), base::Deadline::After(kKillLimit),
                               [this, then = std::move(then)](const std::vector<pid_t>& left) {
                                 if (!left.empty()) {
                                   Say(std::to_string(left.size()) + " processes of " + request_.cgroup +
                                       " do not die, the first is " + std::to_string(left.front()));
                                 }
                                 then(left);
                               });
}

}  // namespace berth::monitor
