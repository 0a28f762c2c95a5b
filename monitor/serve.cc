// SPDX-License-Identifier: Apache-2.0
#include "monitor/serve.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/fault.h"
#include "base/files.h"
#include "monitor/monitor.h"
#include "monitor/say.h"

namespace berth::monitor {
namespace {

struct Arguments {
  ServeOptions serve;
  int ready_fd = -1;
};

std::string ProgramDir() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string program(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  return program.substr(0, program.find_last_of('/'));
}

bool Parse(int argc, char** argv, Arguments& into) {
  into.serve.kernel_log = kKernelLogPath;
  into.serve.holder_program = ProgramDir() + "/berth-holder";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--pod")
      into.serve.pod_id = argv[i + 1];
    else if (option == "--dir")
      into.serve.pod_dir = argv[i + 1];
    else if (option == "--kmsg")
      into.serve.kernel_log = argv[i + 1];
    else if (option == "--holder")
      into.serve.holder_program = argv[i + 1];
    else if (option == "--ready-fd")
      into.ready_fd = std::atoi(argv[i + 1]);
    else
      return false;
  }
  return argc % 2 == 1 && !into.serve.pod_id.empty() && !into.serve.pod_dir.empty();
}

void Tell(int fd, const std::string& text) {
  if (fd >= 0) (void)base::WriteAll(fd, text);
  if (fd < 0 || text.rfind("ready", 0) != 0) Say(text);
}

// One monitor per pod: the lock is held for life. The descriptor stays open on purpose.
base::Result<int> LockPidFile(const std::string& dir) {
  auto fd = base::OpenAt(AT_FDCWD, dir + "/monitor.pid", O_RDWR | O_CREAT, base::Resolve::kAnywhere, 0600);
  if (!fd) return fd.TakeError();
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
    const int err = errno == EWOULDBLOCK ? EBUSY : errno;
    return base::SyscallFailed(err, "a monitor of this pod is there already; lock '" + dir + "/monitor.pid'");
  }
  BERTH_FAULT_POINT("monitor.pid_file");
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd->get(), 0) != 0) return base::SyscallFailed(errno, "truncate '" + dir + "/monitor.pid'");
  if (auto written = base::WriteAll(fd->get(), text); !written) return written.TakeError();
  return fd->Release();
}

// Blocked for good, so that it is read from a descriptor; children begin with an empty mask.
sigset_t NodeShutsDown() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  return set;
}

base::Result<base::UniqueFd> EndAtSignal(Loop& loop, Monitor& monitor) {
  const sigset_t set = NodeShutsDown();
  base::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return base::SyscallFailed(errno, "signalfd");
  const int fd = signals.get();
  auto watched = loop.Watch(fd, EPOLLIN, [fd, &monitor](std::uint32_t) {
    signalfd_siginfo info;
    while (::read(fd, &info, sizeof info) > 0) {
    }
    monitor.EndAfterContainers();
  });
  if (!watched) return watched.TakeError();
  return signals;
}

base::Result<void> Serve(const Arguments& arguments) {
  if (auto locked = LockPidFile(arguments.serve.pod_dir); !locked) return locked.TakeError();
  auto cgroups = cgroupfs::Host::Detect();
  if (!cgroups) return cgroups.TakeError();
  Loop loop;
  if (auto opened = loop.Open(); !opened) return opened;
  Reaper reaper(loop);
  if (auto opened = reaper.Open(); !opened) return opened;
  Monitor monitor(loop, reaper, **cgroups, arguments.serve);
  if (auto listening = monitor.Listen(); !listening) return listening;
  const auto signals = EndAtSignal(loop, monitor);
  if (!signals) return signals.error();
  Tell(arguments.ready_fd, "ready " + std::to_string(::getpid()) + "\n");
  if (arguments.ready_fd >= 0) ::close(arguments.ready_fd);
  loop.Run();
  return {};
}

}  // namespace

int ServeMain(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    Say("usage: berth-monitor serve --pod ID --dir DIR [--kmsg PATH] [--holder PROGRAM] [--ready-fd N]");
    return 2;
  }
  // Not berthd's child: nobody there has to reap it, and it stays when berthd goes. The parent's exit tells
  // that it was left alone.
  if (arguments.ready_fd >= 0) {
    const pid_t pid = ::fork();
    if (pid < 0) return 1;
    if (pid > 0) ::_exit(0);
  }
  ::umask(022);
  ::fcntl(arguments.ready_fd, F_SETFD, FD_CLOEXEC);
  const sigset_t shutdown = NodeShutsDown();
  ::sigprocmask(SIG_BLOCK, &shutdown, nullptr);
  for (const int signal : {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_IGN);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, "berth-monitor");
  if (::chdir("/") != 0) return 1;
#ifdef __GLIBC__
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024);
  ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
#endif
  if (auto served = Serve(arguments); !served) {
    Tell(arguments.ready_fd, served.error().Message() + "\n");
    return 1;
  }
  return 0;
}

}  // namespace berth::monitor
