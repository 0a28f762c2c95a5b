// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/janitor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "e2e/bench/progress.h"
#include "e2e/bench/side.h"
#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"

namespace berth::e2e::bench {
namespace {

constexpr char kCgroupPrefix[] = "berth-test-bench-";
constexpr char kDirPrefix[] = "berth-bench-";

void RemoveDir(const std::string& dir) {
  UnmountBelow(dir);
  std::error_code error;
  std::filesystem::remove_all(dir, error);
  if (error) fprintf(stderr, "bench: cannot remove '%s': %s\n", dir.c_str(), error.message().c_str());
}

void Sweep(const std::string& parent_dir) {
  SweepStaleCgroups(kCgroupPrefix);
  for (const std::string& name : ListDir(parent_dir)) {
    if (name.rfind(kDirPrefix, 0) != 0) continue;
    const pid_t owner = static_cast<pid_t>(std::atol(name.c_str() + strlen(kDirPrefix)));
    if (owner > 0 && ::kill(owner, 0) != 0) RemoveDir(parent_dir + "/" + name);
  }
}

[[noreturn]] void Child(const Place& place, pid_t janitor, const std::function<int(const Place&)>& work) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != janitor) ::_exit(1);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  int status = 1;
  try {
    EnterCgroup(place.cgroup + "/bench");
    status = work(place);
  } catch (const std::exception& error) {
    Say(std::string("failed: ") + error.what());
  }
  fflush(nullptr);
  ::_exit(status);  // nothing of ours needs a destructor: all is killed and removed
}

// The worker's wait status, or the signal that tells us to stop. Orphans are reaped on the way.
int Await(pid_t worker, const sigset_t& signals, int* stopped_by) {
  for (;;) {
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended == worker) return status;
    }
    const int got = ::sigwaitinfo(&signals, nullptr);
    if (got <= 0 || got == SIGCHLD) continue;
    *stopped_by = got;
    return 0;
  }
}

}  // namespace

int RunGuarded(const std::string& parent_dir, const std::function<int(const Place&)>& work) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGTTOU, SIG_IGN);
  // A shell starts what runs in its background with SIGINT ignored, and what is ignored cannot be waited for.
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT}) ::signal(signal, SIG_DFL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  Sweep(parent_dir);

  const std::string id = std::to_string(::getpid());
  const Place place{parent_dir + "/" + kDirPrefix + id, std::string("/") + kCgroupPrefix + id};
  MakeDirs(place.dir);
  ::chmod(place.dir.c_str(), 0711);
  MakeCgroup(place.cgroup);
  MakeCgroup(place.cgroup + "/bench");

  fflush(nullptr);
  const pid_t janitor = ::getpid(), worker = ::fork();
  if (worker == 0) Child(place, janitor, work);
  int stopped_by = 0, status = 0;
  if (worker > 0) status = Await(worker, signals, &stopped_by);
  if (stopped_by != 0) {
    Say(std::string("stopped by ") + strsignal(stopped_by) + ": cleaning up");
    ::kill(worker, SIGKILL);  // not reaped yet, so the pid is still its own
  }
  DestroyCgroup(place.cgroup);
  KillDescendants();
  DestroyCgroup(place.cgroup);  // what had a dying process in it a moment ago
  RemoveDir(place.dir);
  if (worker < 0) return 1;
  if (stopped_by != 0) return 128 + stopped_by;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace berth::e2e::bench
