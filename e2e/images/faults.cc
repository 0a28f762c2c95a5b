// SPDX-License-Identifier: Apache-2.0
// The misbehaving program of the test images: one static binary, one sub-command per way to live or die.
// Commands that take "-- COMMAND..." run the rest as another sub-command in the process that they make, so
// that shapes combine: `faults child exit 7 -- eat` is a PID 1 that ends with 7 after its child was killed.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

using Args = std::vector<std::string>;
int Dispatch(const Args& args);

constexpr size_t kMiB = 1024 * 1024;

long Number(const Args& args, size_t index, long fallback) {
  return index < args.size() && args[index] != "--" ? strtol(args[index].c_str(), nullptr, 10) : fallback;
}

// What follows "--".
Args Rest(const Args& args) {
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--") return Args(args.begin() + static_cast<long>(i) + 1, args.end());
  }
  return {};
}

void SleepMs(long ms) {
  timespec left{ms / 1000, (ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

int64_t MonotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

void Say(const std::string& line) {
  const std::string text = line + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) < 0) _exit(111);
}

// Touches `mib` MiB, zeros that are written: anonymous memory, charged to the cgroup.
void Touch(size_t mib) {
  void* memory = mmap(nullptr, mib * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    Say("mmap failed: " + std::string(strerror(errno)));
    _exit(112);
  }
  memset(memory, 0x5a, mib * kMiB);
}

// eat [MIB [PAUSE_MS [UP_TO_MIB]]]: takes memory step by step, without end or up to a size and then keeps it.
int Eat(const Args& args) {
  const long step = Number(args, 1, 1), pause = Number(args, 2, 0), limit = Number(args, 3, -1);
  for (long taken = 0; limit < 0 || taken < limit; taken += step) {
    Touch(static_cast<size_t>(step));
    if (pause > 0) SleepMs(pause);
  }
  Say("holding");
  for (;;) pause > 0 ? SleepMs(1000) : SleepMs(100000);
}

// A grown-up's wait: the status as a shell would tell it.
int ShellStatus(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

pid_t Fork(const Args& command) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(Dispatch(command));
  }
  return pid;
}

// child exit N|same|sleep|term N -- COMMAND: forks COMMAND and waits for it, says how it ended, then exits
// with N, or with the child's status in a shell's words, or sleeps, or waits for SIGTERM and exits with N.
int Child(const Args& args) {
  const Args command = Rest(args);
  const std::string then = args.size() > 1 ? args[1] : "exit";
  const pid_t pid = Fork(command);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return 113;
  Say("child ended " + std::to_string(ShellStatus(status)));
  if (then == "exit") return static_cast<int>(Number(args, 2, 0));
  if (then == "same") return ShellStatus(status);
  if (then == "term") return Dispatch({"term", std::to_string(Number(args, 2, 0))});
  return Dispatch({"sleep"});
}

int RunRest(void* rest) { return Dispatch(*static_cast<const Args*>(rest)); }

// sharemm [vfork] -- COMMAND: a child that shares this process's memory (CLONE_VM, no thread) runs COMMAND.
// Whichever of the two the kernel picks, the other dies of SIGKILL too.
int ShareMemory(const Args& args) {
  static Args rest;
  rest = Rest(args);
  constexpr size_t kStack = kMiB;
  char* stack = static_cast<char*>(
      mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
  const int flags = CLONE_VM | SIGCHLD | (args.size() > 1 && args[1] == "vfork" ? CLONE_VFORK : 0);
  const pid_t pid = clone(RunRest, stack + kStack, flags, &rest);
  if (pid < 0) return 114;
  int status = 0;
  waitpid(pid, &status, 0);
  return ShellStatus(status);
}

// rename NAME -- COMMAND: runs COMMAND under a hostile comm (the kernel cuts it at 15 bytes).
int Rename(const Args& args) {
  if (args.size() < 2 || prctl(PR_SET_NAME, args[1].c_str()) != 0) return 115;
  return Dispatch(Rest(args));
}

// chatter [LINES_PER_SECOND [LENGTH]]: numbered lines without end, each with the monotonic time at which it
// was begun and the longest write so far: an application that was made to wait says so in its own log.
int Chatter(const Args& args) {
  const long rate = Number(args, 1, 100), length = Number(args, 2, 0);
  int64_t longest = 0;
  const int64_t start = MonotonicMs();
  for (int64_t line = 0;; ++line) {
    const int64_t due = start + line * 1000 / rate;
    const int64_t before = MonotonicMs();
    if (due > before) SleepMs(due - before);
    const int64_t begun = MonotonicMs();
    std::string text = "line " + std::to_string(line) + " at " + std::to_string(begun) + " longest " +
                       std::to_string(longest);
    if (length > static_cast<long>(text.size())) text.append(static_cast<size_t>(length) - text.size(), '.');
    Say(text);
    const int64_t took = MonotonicMs() - begun;
    if (took > longest) longest = took;
  }
}

volatile sig_atomic_t got_signal = 0;
void OnSignal(int signal) { got_signal = signal; }

void WaitForSignals(std::initializer_list<int> signals) {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigset_t mask, old;
  sigemptyset(&mask);
  for (const int signal : signals) {
    sigaddset(&mask, signal);
    sigaction(signal, &action, nullptr);
  }
  sigprocmask(SIG_BLOCK, &mask, &old);
  Say("ready");
  while (got_signal == 0) sigsuspend(&old);
}

// term N [DELAY_MS]: waits for SIGTERM (or INT, QUIT, USR1), says which came, exits with N after the delay.
int Term(const Args& args) {
  WaitForSignals({SIGTERM, SIGINT, SIGQUIT, SIGUSR1});
  Say("signal " + std::to_string(got_signal));
  SleepMs(Number(args, 2, 0));
  return static_cast<int>(Number(args, 1, 0));
}

// ignore [-- COMMAND]: SIGTERM, SIGINT and SIGHUP do nothing; then COMMAND, or sleeps without end.
int Ignore(const Args& args) {
  for (const int signal_number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) signal(signal_number, SIG_IGN);
  Say("ready");
  const Args rest = Rest(args);
  return Dispatch(rest.empty() ? Args{"sleep"} : rest);
}

// kmsg TEXT [LEVEL]: one record to the kernel's log, as a privileged container could forge it.
int Kmsg(const Args& args) {
  const int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return 116;
  const std::string record =
      "<" + std::to_string(Number(args, 2, 3)) + ">" + (args.size() > 1 ? args[1] : "");
  const bool written = write(fd, record.data(), record.size()) == static_cast<ssize_t>(record.size());
  close(fd);
  Say(written ? "forged" : strerror(errno));
  return written ? 0 : 117;
}

// burn COUNT: COUNT children one after another, each eats until the kernel kills it: uses up the node's
// budget of ten OOM reports per five seconds.
int Burn(const Args& args) {
  int killed = 0;
  for (long i = 0; i < Number(args, 1, 12); ++i) {
    int status = 0;
    const pid_t pid = Fork({"eat", "8"});
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ++killed;
  }
  Say("burnt " + std::to_string(killed));
  return 0;
}

// grandchild SECONDS: leaves behind a process that holds stdout and stderr open, and exits at once with 0.
int Grandchild(const Args& args) {
  if (fork() == 0) {
    setsid();
    SleepMs(Number(args, 1, 60) * 1000);
    _exit(0);
  }
  Say("left");
  return 0;
}

// False: nobody takes them.
bool SpewInto(int fd, long left) {
  std::string block;
  for (int i = 0; i < 640; ++i) block += std::string(99, 'x') + "\n";
  while (left > 0) {
    const ssize_t wrote = write(fd, block.data(), std::min<size_t>(block.size(), static_cast<size_t>(left)));
    if (wrote < 0) return false;
    left -= wrote;
  }
  return true;
}

// spew BYTES [err]: that many bytes in lines of 100, to stdout or stderr.
int Spew(const Args& args) {
  const int fd = args.size() > 2 && args[2] == "err" ? STDERR_FILENO : STDOUT_FILENO;
  return SpewInto(fd, Number(args, 1, 0)) ? 0 : 118;
}

// serve PORT BYTES: a TCP server that sends each client that many bytes and hangs up. SIGTERM ends it.
int Serve(const Args& args) {
  signal(SIGCHLD, SIG_IGN);
  signal(SIGTERM, [](int) { _exit(0); });
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(Number(args, 1, 7000)));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 64) != 0)
    return 116;
  Say("ready");
  for (;;) {
    const int client = accept(listener, nullptr, nullptr);
    if (client < 0) continue;
    if (fork() == 0) _exit(SpewInto(client, Number(args, 2, 0)) ? 0 : 118);
    close(client);
  }
}

// lines COUNT [LENGTH]: COUNT numbered lines as fast as they go, and then the command after "--".
int Lines(const Args& args) {
  const long length = Number(args, 2, 0);
  for (long i = 0; i < Number(args, 1, 10); ++i) {
    std::string text = "line " + std::to_string(i);
    if (length > static_cast<long>(text.size())) text.append(static_cast<size_t>(length) - text.size(), '.');
    Say(text);
  }
  const Args rest = Rest(args);
  return rest.empty() ? 0 : Dispatch(rest);
}

// sleep [SECONDS]: SIGTERM ends it with 143, as a process that is not PID 1 would end; orphans are reaped.
int Sleep(const Args& args) {
  signal(SIGCHLD, SIG_IGN);
  struct sigaction old {};
  sigaction(SIGTERM, nullptr, &old);
  if (old.sa_handler == SIG_DFL) signal(SIGTERM, [](int) { _exit(143); });
  const long seconds = Number(args, 1, -1);
  if (seconds >= 0) {
    SleepMs(seconds * 1000);
    return 0;
  }
  for (;;) SleepMs(1000000);
}

// wait FILE -- COMMAND: COMMAND once FILE exists, so that a test says when something begins.
int WaitFile(const Args& args) {
  while (args.size() > 1 && access(args[1].c_str(), F_OK) != 0) SleepMs(20);
  return Dispatch(Rest(args));
}

int Dispatch(const Args& args) {
  const std::string command = args.empty() ? "sleep" : args[0];
  if (command == "exit") return static_cast<int>(Number(args, 1, 0));
  if (command == "kill-self") return kill(getpid(), static_cast<int>(Number(args, 1, 9))), SleepMs(100), 119;
  if (command == "segv")
    return *static_cast<volatile int*>(nullptr);  // PID 1 ignores signals that it sends itself
  if (command == "after") return SleepMs(Number(args, 1, 0)), Dispatch(Rest(args));
  if (command == "say") return Say(args.size() > 1 ? args[1] : ""), 0;
  if (command == "eat") return Eat(args);
  if (command == "child") return Child(args);
  if (command == "sharemm") return ShareMemory(args);
  if (command == "rename") return Rename(args);
  if (command == "chatter") return Chatter(args);
  if (command == "term") return Term(args);
  if (command == "ignore") return Ignore(args);
  if (command == "kmsg") return Kmsg(args);
  if (command == "burn") return Burn(args);
  if (command == "grandchild") return Grandchild(args);
  if (command == "spew") return Spew(args);
  if (command == "serve") return Serve(args);
  if (command == "lines") return Lines(args);
  if (command == "sleep" || command == "pause") return Sleep(args);
  if (command == "wait") return WaitFile(args);
  fprintf(stderr, "faults: unknown command '%s'\n", command.c_str());
  return 125;
}

}  // namespace

int main(int argc, char** argv) { return Dispatch(Args(argv + 1, argv + argc)); }
