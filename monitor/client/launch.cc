// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <charconv>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/inherit.h"
#include "base/status.h"
#include "monitor/birth.h"
#include "monitor/client.h"

extern char** environ;

namespace berth::monitor {
namespace {

constexpr int kReadyFd = 3;

// What the monitor says on its ready pipe, up to its closing.
absl::StatusOr<std::string> ReadReady(int fd, base::Deadline deadline) {
  std::string text;
  for (;;) {
    pollfd ready{fd, POLLIN, 0};
    const int count = ::poll(&ready, 1, deadline.PollMs());
    if (count == 0 && deadline.Passed())
      return absl::DeadlineExceededError("the monitor has not come up in time");
    if (count <= 0) continue;
    char buffer[1024];
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::SyscallError(errno, "read the monitor's answer");
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace

absl::StatusOr<base::ProcessIdentity> Launch(const LaunchOptions& options, base::Deadline deadline) {
  auto pipe = MakePipe();
  if (!pipe) return base::ToStatus(pipe.error());
  auto log = base::OpenAt(AT_FDCWD, options.log_file.empty() ? "/dev/null" : options.log_file,
                          O_WRONLY | O_APPEND | O_CREAT, base::Resolve::kAnywhere, 0640);
  if (!log) return base::ToStatus(log.error());
  base::SpawnOptions spawn;
  spawn.argv = {options.program, "serve",         "--pod",      options.pod_id,
                "--dir",         options.pod_dir, "--ready-fd", std::to_string(kReadyFd)};
  if (!options.kmsg_path.empty()) spawn.argv.insert(spawn.argv.end(), {"--kmsg", options.kmsg_path});
  spawn.env = base::EnvironmentForOthers(environ);
  spawn.fds = {{log->get(), STDERR_FILENO}, {pipe->write.get(), kReadyFd}};
  spawn.new_session = true;
  spawn.cgroup_procs = options.cgroup_procs;
  spawn.oom_score_adj = options.oom_score_adj;
  BERTH_FAULT_POINT("monitor.launch");
  auto child = base::Spawn(spawn);
  if (!child) return base::ToStatus(child.error());
  pipe->write.Reset();
  // It forks at once and leaves the monitor to the system's init, so that nobody here has to reap it later.
  if (auto ended = base::WaitChild(*child, deadline); !ended) return base::ToStatus(ended.error());
  auto text = ReadReady(pipe->read.get(), deadline);
  if (!text.ok()) return text.status();
  while (!text->empty() && text->back() == '\n') text->pop_back();
  constexpr absl::string_view kReady = "ready ";
  if (text->rfind(std::string(kReady), 0) != 0) {
    return absl::InternalError(
        absl::StrCat("the monitor did not start: ", text->empty() ? "it ended without a word" : *text));
  }
  pid_t pid = 0;
  std::from_chars(text->data() + kReady.size(), text->data() + text->size(), pid);
  return base::ToStatusOr(base::IdentifyProcess(pid));
}

}  // namespace berth::monitor
