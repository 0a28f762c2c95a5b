// SPDX-License-Identifier: Apache-2.0
#include "monitor/exec.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "monitor/birth.h"
#include "monitor/json_read.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {
constexpr std::int64_t kExecuteLimit = 30 * base::kSecondNs;
constexpr std::int64_t kKillLimit = 10 * base::kSecondNs;

// The OOM score that a process.json asks for; 0 without one.
int ScoreIn(const std::string& process_file) {
  int score = 0;
  try {
    const auto text = base::ReadFile(process_file);
    const auto process = text ? ParseObject(*text) : std::nullopt;
    if (process) Read(*process, "oomScoreAdj", score);
  } catch (const nlohmann::json::exception&) {
    // The OCI runtime reads it too, and says what is wrong.
  }
  return score;
}
}  // namespace

Exec::Exec(Context& context, Container& container, ExecRequest request, std::function<void()> gone)
    : context_(context),
      container_(container),
      request_(std::move(request)),
      gone_(std::move(gone)),
      cgroup_(container.cgroup_procs(), request_.exec_id, container.program().path) {}

Exec::~Exec() { *stopped_ = true; }

std::string Exec::File(const char* suffix) const {
  return container_.request().run_dir + "/exec-" + request_.exec_id + suffix;
}

void Exec::Start(std::vector<base::UniqueFd> fds, Reply reply) {
  reply_ = std::move(reply);
  RuntimeCall::Options options;
  options.program = &container_.program();
  options.log_file = File(".log");
  options.command = {"exec", "--detach", "--process", request_.process_file, "--pid-file", File(".pid")};
  options.command.insert(options.command.end(), cgroup_.runtime_args().begin(), cgroup_.runtime_args().end());
  if (request_.tty) {
    auto console = ConsoleSocket::Listen(container_.request().run_dir, "exec-" + request_.exec_id + ".sock");
    if (!console) return Fail(console.error().Message());
    console_.emplace(std::move(*console));
    options.command.insert(options.command.end(), {"--tty", "--console-socket", console_->path()});
  } else {
    if (const auto owner = container_.request().stdio_owner) {
      // As the container's own: so that /dev/stdout can be opened again. What is no pipe stays its owner's.
      for (const auto& fd : fds) {
        struct stat info {};
        if (::fstat(fd.get(), &info) == 0 && S_ISFIFO(info.st_mode))
          (void)!::fchown(fd.get(), *owner, *owner);
      }
    }
    std::size_t next = 0;
    if (request_.has_stdin) options.fds.push_back({fds[next++].get(), STDIN_FILENO});
    options.fds.push_back({fds[next++].get(), STDOUT_FILENO});
    options.fds.push_back({fds[next++].get(), STDERR_FILENO});
  }
  options.command.push_back(container_.request().container_id);
  options.oom_score_adj = ScoreIn(request_.process_file);
  ::unlink(File(".pid").c_str());
  BERTH_FAULT_POINT("monitor.runtime_exec");
  kills_before_ = container_.oom().CountKills();
  began_ns_ = base::MonotonicNs();
  context_.reaper.Hold();
  auto call = RuntimeCall::Start(context_.loop, context_.reaper, options,
                                 [this](const RuntimeOutcome& outcome) { Created(outcome); });
  if (!call) {
    context_.reaper.Release();
    return Fail(call.error().Message());
  }
  call_ = std::move(*call);
}

void Exec::Created(const RuntimeOutcome& outcome) {
  call_.reset();
  BERTH_FAULT_POINT("monitor.runtime_execed");
  if (const auto pid = ReadPidFile(File(".pid")); pid && context_.reaper.Knows(*pid)) {
    pid_ = *pid;
    cgroup_.Adopt(pid_);
    if (auto pidfd = base::PidfdOpen(pid_)) pidfd_ = std::move(*pidfd);
    if (const auto identity = base::IdentifyProcess(pid_)) start_ticks_ = identity->start_ticks;
    context_.reaper.Expect(pid_, [this](const Reaped& reaped) {
      ended_ = reaped;
      Ended();
    });
  }
  context_.reaper.Release();
  ::unlink(File(".pid").c_str());
  if (console_) {
    if (auto master = console_->Master()) master_ = std::move(*master);
    console_.reset();
  }
  if (outcome.status.signaled || outcome.status.code != 0 || pid_ == 0) {
    if (pid_ != 0) kill_ = true;
    return Fail(outcome.text.empty() ? "the OCI runtime's exec ended with " + outcome.status.ToString()
                                     : outcome.text);
  }
  if (request_.tty && !master_) {
    kill_ = true;
    return Fail("the OCI runtime handed over no terminal");
  }
  WhenExecuted(context_.loop, pid_, kExecuteLimit, stopped_, [this](bool executed) {
    if (executed && !ended_) Confirmed();  // else its reaping tells
  });
}

void Exec::Confirmed() {
  if (replied_) return;
  replied_ = true;
  std::vector<base::UniqueFd> fds;
  if (master_) fds.push_back(std::move(master_));
  reply_.ok({{"pid", pid_}, {"start_ticks", start_ticks_}}, std::move(fds));
  if (kill_ && !ended_) KillTree();
}

void Exec::Fail(const std::string& text) {
  replied_ = true;
  reported_ = true;  // nobody waits for an end of what never ran
  reply_.failed({kErrExecFailed, "exec", kill_ && text.empty() ? "killed by request" : text});
  if (pid_ != 0 && !ended_) return KillTree();
  Dissolve(0);
}

void Exec::Kill() {
  if (ended_ || reported_) return;  // what it left in the background is the container's
  kill_ = true;
  if (call_) return call_->Kill();
  if (replied_) KillTree();
}

void Exec::KillTree() {
  if (killing_) return;
  killing_ = true;
  BERTH_FAULT_POINT("monitor.exec_kill");
  if (pidfd_) (void)base::PidfdSignal(pidfd_.get(), SIGKILL);
  cgroup_kill_ = CgroupKill::Start(
      context_.loop, cgroup_.dirs(), base::Deadline::After(kKillLimit),
      [this](const std::vector<pid_t>& left) {
        if (!left.empty())
          Say(std::to_string(left.size()) + " processes of exec " + request_.exec_id + " do not die");
        killing_ = false;
        if (ended_) Ended();
      });
}

void Exec::Ended() {
  if (ended_->status.signaled && ended_->status.code == SIGKILL && !oom_killed_)
    oom_killed_ = container_.oom().KilledExec({pid_, began_ns_, kills_before_, kill_});
  if (!replied_ && !ended_->executed) return Fail("the command could not be executed");
  Confirmed();  // the reply comes first
  if (killing_) return;
  Report();
  Dissolve(0);
}

void Exec::Report() {
  if (reported_) return;
  reported_ = true;
  context_.broadcast({{"event", "exec_exited"},
                      {"exec_id", request_.exec_id},
                      {"exit_code", ended_->status.ShellCode()},
                      {"signaled", ended_->status.signaled},
                      {"signal", ended_->status.signaled ? ended_->status.code : 0},
                      {"oom_killed", oom_killed_}});
}

// What the exec left running in the background belongs to the container now.
void Exec::Dissolve(int attempt) {
  constexpr int kAttempts = 10;
  if (!cgroup_.Dissolve() && attempt < kAttempts) {
    auto stopped = stopped_;
    context_.loop.After(10 * base::kMillisecondNs, [this, stopped, attempt] {
      if (!*stopped) Dissolve(attempt + 1);
    });
    return;
  }
  if (gone_) context_.loop.Post(std::exchange(gone_, nullptr));
}

}  // namespace berth::monitor
