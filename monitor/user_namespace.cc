// SPDX-License-Identifier: Apache-2.0
#include "monitor/user_namespace.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>

#include "base/fault.h"
#include "base/files.h"

namespace berth::monitor {
namespace {

struct Pipe {
  base::UniqueFd read, write;
};
base::Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::SyscallFailed(errno, "pipe2");
  return Pipe{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

// The child: each step is answered with its errno, and the next one waits for a byte of the parent.
void Answer(int fd, int err) { (void)!::write(fd, &err, sizeof err); }

[[noreturn]] void RunChild(int flags, int from_parent, int to_parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Answer(to_parent, ::unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
  char go;
  if (::read(from_parent, &go, 1) != 1) ::_exit(1);
  // Its maps are written: from here on root of the new namespace.
  const bool root = ::setgroups(0, nullptr) == 0 && ::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0;
  Answer(to_parent, root && ::unshare(flags) == 0 ? 0 : errno);
  while (::read(from_parent, &go, 1) > 0) {
  }
  ::_exit(0);
}

class Maker {
 public:
  ~Maker() {
    orders_.write.Reset();
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  base::Result<void> Start(int flags) {
    auto orders = MakePipe();
    if (!orders) return orders.TakeError();
    auto answers = MakePipe();
    if (!answers) return answers.TakeError();
    orders_ = std::move(*orders);
    answers_ = std::move(*answers);
    BERTH_FAULT_POINT("monitor.user_namespace");
    pid_ = ::fork();
    if (pid_ < 0) return base::SyscallFailed(errno, "fork");
    if (pid_ == 0) {
      orders_.write.Reset();
      answers_.read.Reset();
      RunChild(flags, orders_.read.get(), answers_.write.get());
    }
    orders_.read.Reset();
    answers_.write.Reset();
    return Answered("make the user namespace");
  }

  base::Result<void> Map(const UserMap& map) {
    const std::string line = "0 " + std::to_string(map.first) + " " + std::to_string(map.length) + "\n";
    for (const char* file : {"gid_map", "uid_map"}) {
      if (auto written = base::WriteControl(Proc(file), line); !written)
        return base::SyscallFailed(written.error().err, "map the ids of the user namespace to " +
                                                            std::to_string(map.first) + " and the next " +
                                                            std::to_string(map.length - 1));
    }
    const char go = 1;
    if (::write(orders_.write.get(), &go, 1) != 1) return base::SyscallFailed(errno, "write to a pipe");
    return Answered("make namespaces inside the user namespace");
  }

  base::Result<void> Join(int flag, const char* name) {
    auto fd = base::OpenAt(AT_FDCWD, Proc(std::string("ns/") + name), O_RDONLY);
    if (!fd) return fd.TakeError();
    if (::setns(fd->get(), flag) != 0)
      return base::SyscallFailed(errno, std::string("join the namespace ") + name);
    return {};
  }

  base::Result<base::UniqueFd> User() { return base::OpenAt(AT_FDCWD, Proc("ns/user"), O_RDONLY); }

 private:
  std::string Proc(const std::string& file) const { return "/proc/" + std::to_string(pid_) + "/" + file; }

  base::Result<void> Answered(const char* what) {
    int err = 0;
    const ssize_t got = ::read(answers_.read.get(), &err, sizeof err);
    if (got != sizeof err) return base::SyscallFailed(got < 0 ? errno : ECHILD, what);
    if (err != 0) return base::SyscallFailed(err, what);
    return {};
  }

  Pipe orders_, answers_;
  pid_t pid_ = -1;
};

}  // namespace

base::Result<UserMap> ParseUserMap(const std::string& text) {
  UserMap map;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, map.first);
  const bool half = first.ec == std::errc() && first.ptr != end && *first.ptr == ':';
  const auto length = half ? std::from_chars(first.ptr + 1, end, map.length) : first;
  if (!half || length.ec != std::errc() || length.ptr != end || map.length == 0 || map.first == 0 ||
      std::uint64_t{map.first} + map.length > 0xffffffffU) {
    return base::Malformed("'" + text + "' is no range of user ids");
  }
  return map;
}

base::Result<base::UniqueFd> EnterInUserNamespace(const UserMap& map, int flags) {
  Maker maker;
  if (auto done = maker.Start(flags); !done) return done.TakeError();
  if (auto done = maker.Map(map); !done) return done.TakeError();
  struct {
    int flag;
    const char* name;
  } const kinds[] = {{CLONE_NEWNET, "net"}, {CLONE_NEWIPC, "ipc"}, {CLONE_NEWUTS, "uts"}};
  for (const auto& kind : kinds) {
    if ((flags & kind.flag) == 0) continue;
    if (auto done = maker.Join(kind.flag, kind.name); !done) return done.TakeError();
  }
  return maker.User();
}

}  // namespace berth::monitor
