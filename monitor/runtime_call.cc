// SPDX-License-Identifier: Apache-2.0
#include "monitor/runtime_call.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "base/fault.h"
#include "base/files.h"

extern char** environ;

namespace berth::monitor {
namespace {
constexpr std::size_t kMaxErrorText = 16 * 1024;
}  // namespace

base::Result<std::unique_ptr<RuntimeCall>> RuntimeCall::Start(
    Loop& loop, Reaper& reaper, const Options& options, std::function<void(const RuntimeOutcome&)> done) {
  auto call = std::unique_ptr<RuntimeCall>(new RuntimeCall(loop));
  base::SpawnOptions spawn;
  spawn.argv = {options.program->path, "--root", options.program->root};
  spawn.argv.insert(spawn.argv.end(), options.program->args.begin(), options.program->args.end());
  if (!options.log_file.empty()) {
    ::unlink(options.log_file.c_str());
    call->log_file_ = options.log_file;
    spawn.argv.insert(spawn.argv.end(), {"--log", options.log_file, "--log-format", "json"});
  }
  spawn.argv.insert(spawn.argv.end(), options.command.begin(), options.command.end());
  for (char** entry = environ; *entry != nullptr; ++entry) {
    // Fault points are for us; a runtime's hooks are others' programs.
    if (std::string_view(*entry).substr(0, 11) != "BERTH_FAULT") spawn.env.emplace_back(*entry);
  }
  spawn.fds = options.fds;
  spawn.hide_mount = options.program->hide_mount;
  spawn.oom_score_adj = options.oom_score_adj;
  spawn.new_session = true;  // its whole group can be killed

  bool has_stderr = false;
  for (const auto& fd : options.fds) has_stderr = has_stderr || fd.to == STDERR_FILENO;
  base::UniqueFd write_end;
  if (!has_stderr) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return base::SyscallFailed(errno, "pipe2");
    call->errors_.Reset(ends[0]);
    write_end.Reset(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    spawn.fds.push_back({write_end.get(), STDERR_FILENO});
  }
  auto child = base::Spawn(spawn);
  if (!child) return child.TakeError();
  write_end.Reset();
  call->child_ = std::move(*child);
  RuntimeCall* raw = call.get();
  if (raw->errors_) {
    auto watched = loop.Watch(raw->errors_.get(), EPOLLIN, [raw](std::uint32_t) { raw->ReadErrors(); });
    if (!watched) raw->errors_.Reset();
  }
  reaper.Expect(raw->child_.pid, [raw, alive = raw->alive_, done = std::move(done)](const Reaped& reaped) {
    if (!*alive) return;  // nobody asks any more
    RuntimeOutcome outcome{reaped.status, ""};
    raw->ReadErrors();
    std::string log;
    if (!raw->log_file_.empty()) {
      if (auto text = base::ReadFile(raw->log_file_)) log = *text;
      ::unlink(raw->log_file_.c_str());
    }
    outcome.text = CleanRuntimeText(log, raw->error_text_);
    done(outcome);
  });
  return call;
}

RuntimeCall::~RuntimeCall() {
  *alive_ = false;
  if (errors_) loop_.Unwatch(errors_.get());
}

void RuntimeCall::Kill() {
  ::kill(-child_.pid, SIGKILL);
  (void)base::PidfdSignal(child_.pidfd.get(), SIGKILL);
}

void RuntimeCall::ReadErrors() {
  while (errors_) {
    char buffer[4096];
    const ssize_t got = ::read(errors_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      loop_.Unwatch(errors_.get());
      errors_.Reset();
      return;
    }
    if (error_text_.size() < kMaxErrorText) error_text_.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace berth::monitor
