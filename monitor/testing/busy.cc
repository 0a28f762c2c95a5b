// SPDX-License-Identifier: Apache-2.0
// The program inside the containers of monitor_real_test: one static file that does what its arguments say,
// from left to right.
//   exit N | kill SIG | print TEXT | err TEXT | line N (N bytes and a newline) | sleep MS | eat MIB |
//   eat-child MIB | share MIB (a CLONE_VM child eats when /eat exists) name COMM | trap SIG CODE | ignore SIG
//   | fork-sleep | daemon-sleep | flood MS | flood-until FILE | wait-child | cat | hostname | path FILE
//   (waits until it exists) | drain FILE (makes it when all that was written to standard output has been
//   read)
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace {

int g_trap_code = 0;

[[noreturn]] void Eat(long mib) {
  const std::size_t bytes = static_cast<std::size_t>(mib) << 20;
  auto* memory = static_cast<volatile char*>(
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
  for (;;) ::pause();
}

void SleepMs(long ms) {
  timespec left{ms / 1000, (ms % 1000) * 1'000'000};
  while (::nanosleep(&left, &left) != 0) {
  }
}

int EatInSharedMemory(void* mib) {
  while (::access("/eat", F_OK) != 0) SleepMs(5);
  Eat(reinterpret_cast<long>(mib));
}

void Write(const std::string& text, int fd = 1) {
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t put = ::write(fd, text.data() + at, text.size() - at);
    if (put <= 0) ::_exit(111);
    at += static_cast<std::size_t>(put);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto next = [&](int& i) { return i + 1 < argc ? argv[++i] : const_cast<char*>(""); };
  for (int i = 1; i < argc; ++i) {
    const std::string verb = argv[i];
    if (verb == "exit") return std::atoi(next(i));
    if (verb == "kill") ::raise(std::atoi(next(i)));
    if (verb == "print") Write(next(i));
    if (verb == "err") Write(next(i), 2);
    if (verb == "line") Write(std::string(static_cast<std::size_t>(std::atoi(next(i))), 'x') + "\n");
    if (verb == "sleep") SleepMs(std::atol(next(i)));
    if (verb == "eat") Eat(std::atol(next(i)));
    if (verb == "name") ::prctl(PR_SET_NAME, next(i));
    if (verb == "eat-child") {
      const long mib = std::atol(next(i));
      if (::fork() == 0) {
        const int score = ::open("/proc/self/oom_score_adj", O_WRONLY);
        (void)!::write(score, "1000", 4);  // so that it is the one
        Eat(mib);
      }
    }
    if (verb == "share") {
      const long mib = std::atol(next(i));
      static char stack[65536];
      ::clone(EatInSharedMemory, stack + sizeof stack, CLONE_VM | SIGCHLD, reinterpret_cast<void*>(mib));
    }
    if (verb == "wait-child") ::wait(nullptr);
    if (verb == "trap") {
      const int signal = std::atoi(next(i));
      g_trap_code = std::atoi(next(i));
      ::signal(signal, [](int) { ::_exit(g_trap_code); });
    }
    if (verb == "ignore") ::signal(std::atoi(next(i)), SIG_IGN);
    if (verb == "fork-sleep") {
      if (::fork() == 0) SleepMs(1'000'000);
    }
    if (verb == "daemon-sleep") {  // grandchild, whose parent is gone
      const pid_t child = ::fork();
      if (child == 0) {
        if (::fork() == 0) {
          ::setsid();
          SleepMs(1'000'000);
        }
        ::_exit(0);
      }
      ::waitpid(child, nullptr, 0);
    }
    if (verb == "flood") {
      const long ms = std::atol(next(i));
      timespec begin{};
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &begin);
      for (long n = 0;; ++n) {
        Write("line " + std::to_string(n) + "\n");
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1'000'000 > ms) break;
      }
      Write("end\n");
    }
    if (verb == "flood-until") {
      const std::string file = next(i);
      for (long n = 0; ::access(file.c_str(), F_OK) != 0; ++n) Write("line " + std::to_string(n) + "\n");
      Write("end\n");
    }
    if (verb == "cat") {
      char buffer[4096];
      for (ssize_t got = 0; (got = ::read(0, buffer, sizeof buffer)) > 0;)
        Write(std::string(buffer, static_cast<std::size_t>(got)));
    }
    if (verb == "hostname") {
      char name[256] = {};
      ::gethostname(name, sizeof name - 1);
      Write(std::string(name) + "\n");
    }
    if (verb == "drain") {
      const std::string file = next(i);
      for (int unread = 1; unread != 0; SleepMs(5)) ::ioctl(1, FIONREAD, &unread);
      ::close(::open(file.c_str(), O_WRONLY | O_CREAT, 0644));
    }
    if (verb == "path") {
      const std::string file = next(i);
      while (::access(file.c_str(), F_OK) != 0) SleepMs(5);
    }
  }
  return 0;
}
