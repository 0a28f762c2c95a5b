// SPDX-License-Identifier: Apache-2.0
#include "monitor/holder.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/fault.h"
#include "base/files.h"

namespace berth::monitor {
namespace {

struct Plan {
  const HolderRequest* request = nullptr;
  std::string score;
  int user_namespace = -1;  // to make the PID namespace in
  int program_file = -1;    // opened with our rights: the namespace's root may not be able to walk there
  void* second_stack = nullptr;
  pid_t pid = -1;  // of the holder, where another process than us made it
  int err = 0;
  const char* stage = nullptr;
};

bool Put(const char* path, const char* text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool good = ::write(fd, text, std::strlen(text)) > 0;
  const int err = errno;
  ::close(fd);
  errno = err;
  return good;
}

int Fail(Plan* plan, const char* stage) {
  plan->err = errno;
  plan->stage = stage;
  return 127;  // and not _exit(): before that ASan would look at a stack that is not the thread's
}

// Needs the host's rights.
void JoinCgroup(Plan* plan) {
  for (const auto& procs : plan->request->cgroup_procs) {
    // "0" is the writer itself, whatever its number is in the new namespace.
    if (!Put(procs.c_str(), "0")) Fail(plan, "join the holder's cgroup");
  }
  if (!plan->score.empty())
    (void)Put("/proc/self/oom_score_adj", plan->score.c_str());  // lowering needs CAP_SYS_RESOURCE
}

// Shares our memory (CLONE_VM) while we wait (CLONE_VFORK): nothing but system calls.
int Child(void* argument) {
  auto* plan = static_cast<Plan*>(argument);
  if (::setsid() < 0) return Fail(plan, "setsid");
  if (plan->user_namespace < 0) JoinCgroup(plan);
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2})
    ::sigaction(signal, &action, nullptr);
  if (::chdir("/") != 0) return Fail(plan, "chdir");
  ::umask(022);
  sigset_t none;
  ::sigemptyset(&none);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  char name[] = "berth-holder";
  char* const argv[] = {name, nullptr};
  char* const env[] = {nullptr};
  ::syscall(SYS_execveat, plan->program_file, "", argv, env, AT_EMPTY_PATH);
  return Fail(plan, "exec of the holder");
}

constexpr std::size_t kStack = 64 * 1024;
constexpr int kCloneFlags = CLONE_NEWPID | CLONE_VM | CLONE_VFORK | SIGCHLD;

// Between us and a holder in a user namespace: a PID namespace belongs to the user namespace of its maker,
// and we ourselves stay in the host's. CLONE_PARENT: the holder is our child all the same.
int Between(void* argument) {
  auto* plan = static_cast<Plan*>(argument);
  JoinCgroup(plan);
  if (::setns(plan->user_namespace, CLONE_NEWUSER) != 0) return Fail(plan, "join the pod's user namespace");
  // The C library's wrappers are for all threads of a process; this shares its memory with another process.
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      ::syscall(SYS_setresuid, 0, 0, 0) != 0) {
    return Fail(plan, "become root of the pod's user namespace");
  }
  plan->pid =
      ::clone(Child, static_cast<char*>(plan->second_stack) + kStack, kCloneFlags | CLONE_PARENT, plan);
  if (plan->pid < 0) return Fail(plan, "clone with a new PID namespace");
  return 0;
}

class Stack {
 public:
  Stack()
      : memory_(::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1,
                       0)) {}
  ~Stack() {
    if (good()) ::munmap(memory_, kStack);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  bool good() const { return memory_ != MAP_FAILED; }
  void* memory() const { return memory_; }

 private:
  void* memory_;
};

// The holder's pid; an error leaves no process.
base::Result<pid_t> Clone(Plan& plan) {
  const Stack stack, second;
  if (!stack.good() || !second.good()) return base::SyscallFailed(errno, "mmap a stack");
  plan.second_stack = second.memory();
  const bool in_user_namespace = plan.user_namespace >= 0;
  BERTH_FAULT_POINT("monitor.holder_clone");
  const pid_t pid = ::clone(in_user_namespace ? Between : Child, static_cast<char*>(stack.memory()) + kStack,
                            in_user_namespace ? CLONE_VM | CLONE_VFORK | SIGCHLD : kCloneFlags, &plan);
  if (pid < 0) return base::SyscallFailed(errno, "clone with a new PID namespace");
  if (in_user_namespace || plan.stage != nullptr) ::waitpid(pid, nullptr, 0);
  if (plan.stage != nullptr) {
    if (plan.pid > 0) ::waitpid(plan.pid, nullptr, 0);
    return base::SyscallFailed(plan.err, plan.stage);
  }
  return in_user_namespace ? plan.pid : pid;
}

}  // namespace

base::Result<void> MakePrivateMount(const std::string& dir) {
  struct statx info {};
  if (::statx(AT_FDCWD, dir.c_str(), 0, 0, &info) != 0)
    return base::SyscallFailed(errno, "stat '" + dir + "'");
  const bool is_mount = (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  if (!is_mount) {
    BERTH_FAULT_POINT("monitor.private_mount");
    if (::mount(dir.c_str(), dir.c_str(), nullptr, MS_BIND, nullptr) != 0)
      return base::SyscallFailed(errno, "bind mount '" + dir + "'");
  }
  if (::mount(nullptr, dir.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return base::SyscallFailed(errno, "make the mount '" + dir + "' private");
  return {};
}

base::Result<void> PinNamespace(const std::string& ns_file, const std::string& target) {
  const std::string dir = target.substr(0, target.find_last_of('/'));
  if (auto made = base::MakeDirs(dir); !made) return made;
  if (auto made = MakePrivateMount(dir); !made) return made;
  auto file = base::OpenAt(AT_FDCWD, target, O_RDONLY | O_CREAT | O_NOFOLLOW, base::Resolve::kAnywhere, 0444);
  if (!file) return file.TakeError();
  file->Reset();
  BERTH_FAULT_POINT("monitor.pin_namespace");
  if (::mount(ns_file.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    const int err = errno;
    ::unlink(target.c_str());
    return base::SyscallFailed(err, "bind mount '" + ns_file + "' to '" + target + "'");
  }
  return {};
}

base::Result<base::Child> StartHolder(const std::string& program, const HolderRequest& request) {
  Plan plan;
  plan.request = &request;
  if (request.oom_score_adj) plan.score = std::to_string(*request.oom_score_adj);
  auto file = base::OpenAt(AT_FDCWD, program, O_PATH);
  if (!file) return file.TakeError();
  plan.program_file = file->get();
  base::UniqueFd user_namespace;
  if (!request.user_namespace.empty()) {
    auto opened = base::OpenAt(AT_FDCWD, request.user_namespace, O_RDONLY);
    if (!opened) return opened.TakeError();
    user_namespace = std::move(*opened);
    plan.user_namespace = user_namespace.get();
  }
  const auto cloned = Clone(plan);
  if (!cloned) return cloned.error();
  const pid_t pid = *cloned;
  base::Child child{pid, base::UniqueFd()};
  auto pidfd = base::PidfdOpen(pid);
  auto pinned = pidfd ? PinNamespace("/proc/" + std::to_string(pid) + "/ns/pid", request.pin)
                      : base::Result<void>(pidfd.error());
  if (!pinned) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return pinned.TakeError();
  }
  child.pidfd = std::move(*pidfd);
  return child;
}

}  // namespace berth::monitor
