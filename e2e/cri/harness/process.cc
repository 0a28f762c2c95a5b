// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/process.h"

#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "e2e/cri/harness/wait.h"

namespace berth::e2e {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Both outputs go to `out` (an fd) or, when it is negative, are appended to `log`.
pid_t Spawn(const std::vector<std::string>& argv, const std::vector<std::string>& environment, int out,
            const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (out >= 0) {
    posix_spawn_file_actions_adddup2(&actions, out, 1);
  } else {
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  }
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0].c_str(), &actions, nullptr, Pointers(argv).data(),
                                 Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw TestError("cannot start '" + argv[0] + "': " + strerror(error));
  return pid;
}

}  // namespace

void Program::Start(const std::vector<std::string>& argv, const std::string& log,
                    const std::vector<std::string>& environment) {
  Kill();
  pid_ = Spawn(argv, environment, -1, log);
}

bool Program::Running() {
  if (pid_ < 0) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
  pid_ = -1;
  return false;
}

void Program::Signal(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

int Program::Wait() {
  int status = 0;
  if (pid_ > 0) ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

void Program::Kill() {
  Signal(SIGKILL);
  Wait();
}

RunResult RunProgram(const std::vector<std::string>& argv) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw TestError("pipe2 failed");
  const pid_t pid = Spawn(argv, PlainEnvironment(), ends[1], "");
  ::close(ends[1]);
  RunResult result;
  char buffer[65536];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    result.output.append(buffer, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

std::string MustRun(const std::vector<std::string>& argv) {
  RunResult result = RunProgram(argv);
  if (result.exit_code != 0) {
    throw TestError("'" + absl::StrJoin(argv, " ") + "' ended with " + std::to_string(result.exit_code) +
                    ": " + result.output);
  }
  return result.output;
}

std::vector<std::string> PlainEnvironment() {
  return {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"};
}

}  // namespace berth::e2e
