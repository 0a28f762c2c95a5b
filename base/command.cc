// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string_view>

#include "base/process.h"

namespace berth::base {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return SyscallFailed(errno, "pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void SetNonBlocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// Reads what is there now. Closes `fd` at its end.
void Drain(UniqueFd& fd, std::string& into, std::size_t cap) {
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      fd.Reset();
      return;
    }
    const std::size_t room = cap > into.size() ? cap - into.size() : 0;
    into.append(buffer, std::min(room, static_cast<std::size_t>(got)));
  }
}

void Feed(UniqueFd& fd, std::string_view& input) {
  while (!input.empty()) {
    const ssize_t put = ::write(fd.get(), input.data(), input.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) return;
    if (put < 0) break;  // it does not want to read: its business
    input.remove_prefix(static_cast<std::size_t>(put));
  }
  fd.Reset();
}

}  // namespace

Result<CommandResult> RunCommand(SpawnOptions options, const std::string& input, Deadline deadline,
                                 std::size_t output_cap) {
  auto in = MakePipe();
  auto out = MakePipe();
  auto err = MakePipe();
  if (!in) return in.TakeError();
  if (!out) return out.TakeError();
  if (!err) return err.TakeError();
  options.fds.push_back({in->read.get(), 0});
  options.fds.push_back({out->write.get(), 1});
  options.fds.push_back({err->write.get(), 2});
  options.new_session = true;  // so that its whole group can be killed
  auto child = Spawn(options);
  if (!child) return child.TakeError();
  in->read.Reset();
  out->write.Reset();
  err->write.Reset();
  SetNonBlocking(in->write.get());
  SetNonBlocking(out->read.get());
  SetNonBlocking(err->read.get());

  // SIGPIPE of a reader that left early: berthd and berth-monitor ignore it; RunCommand relies on EPIPE.
  CommandResult result;
  std::string_view rest = input;
  for (;;) {
    pollfd fds[] = {{child->pidfd.get(), POLLIN, 0},
                    {out->read.get(), POLLIN, 0},
                    {err->read.get(), POLLIN, 0},
                    {in->write.get(), POLLOUT, 0}};
    const int ready = ::poll(fds, 4, deadline.PollMs());
    if (ready < 0 && errno == EINTR) continue;
    if (fds[3].revents != 0) Feed(in->write, rest);
    if (out->read && fds[1].revents != 0) Drain(out->read, result.out, output_cap);
    if (err->read && fds[2].revents != 0) Drain(err->read, result.err, output_cap);
    if (fds[0].revents != 0) break;
    if (ready == 0 && deadline.Passed()) {
      ::kill(-child->pid, SIGKILL);  // not reaped yet: the group id is still its own
      (void)PidfdSignal(child->pidfd.get(), SIGKILL);
      (void)WaitChild(*child);
      return SyscallFailed(ETIMEDOUT, "run '" + options.argv[0] + "'");
    }
  }
  // Ended: take what is already in the pipes, but wait for nobody who inherited them.
  if (out->read) Drain(out->read, result.out, output_cap);
  if (err->read) Drain(err->read, result.err, output_cap);
  auto status = WaitChild(*child);
  if (!status) return status.TakeError();
  result.status = *status;
  return result;
}

}  // namespace berth::base
