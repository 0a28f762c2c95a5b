// SPDX-License-Identifier: Apache-2.0
#include "cgroupfs/kernel.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <memory>
#include <utility>

#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/process.h"
#include "cgroupfs/text.h"

namespace berth::cgroupfs {
namespace {

using base::Result;

// cgroup.procs of a cgroup with very many processes is longer than base's default cap.
constexpr std::size_t kReadCap = 64u << 20;

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

Result<std::string> SystemKernel::Read(const std::string& file) const {
  return base::ReadFileAt(AT_FDCWD, file, kReadCap);
}

Result<void> SystemKernel::Write(const std::string& file, std::string_view value) {
  if (BERTH_FAULT_FAILS("cgroupfs.write"))
    return base::SyscallFailed(EIO, "write to '" + file + "' (fault point)");
  // O_TRUNC changes nothing for the kernel's files and makes plain files of a test tree hold just the value.
  auto fd = base::OpenAt(AT_FDCWD, file, O_WRONLY | O_TRUNC);
  if (!fd) return fd.TakeError();
  const std::string_view data = value.empty() ? std::string_view("\n") : value;
  ssize_t put = 0;
  do {
    put = ::write(fd->get(), data.data(), data.size());
  } while (put < 0 && errno == EINTR);
  if (put < 0) {
    const int err = errno;
    return base::SyscallFailed(err, "write '" + std::string(value) + "' to '" + file + "'");
  }
  if (static_cast<std::size_t>(put) != data.size())
    return base::SyscallFailed(EIO, "short write to '" + file + "'");
  return {};
}

bool SystemKernel::Exists(const std::string& path) const { return base::Exists(path); }

Result<void> SystemKernel::MakeDir(const std::string& dir) {
  if (BERTH_FAULT_FAILS("cgroupfs.mkdir"))
    return base::SyscallFailed(EIO, "create cgroup '" + dir + "' (fault point)");
  if (::mkdir(dir.c_str(), 0755) != 0) {
    const int err = errno;
    return base::SyscallFailed(err, "create cgroup '" + dir + "'");
  }
  // Whatever our umask is: the root of a container's user namespace walks here to mount its own cgroup.
  if (::chmod(dir.c_str(), 0755) != 0) return base::SyscallFailed(errno, "chmod cgroup '" + dir + "'");
  return {};
}

Result<void> SystemKernel::RemoveDir(const std::string& dir) {
  if (BERTH_FAULT_FAILS("cgroupfs.rmdir"))
    return base::SyscallFailed(EIO, "remove cgroup '" + dir + "' (fault point)");
  if (::rmdir(dir.c_str()) != 0) {
    const int err = errno;
    return base::SyscallFailed(err, "remove cgroup '" + dir + "'");
  }
  return {};
}

Result<std::vector<std::string>> SystemKernel::SubDirs(const std::string& dir) const {
  auto fd = base::OpenAt(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.TakeError();
  std::unique_ptr<DIR, DirCloser> stream(::fdopendir(fd->get()));
  if (!stream) {
    const int err = errno;
    return base::SyscallFailed(err, "read directory '" + dir + "'");
  }
  (void)fd->Release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    if (entry->d_type != DT_DIR)
      continue;  // cgroup file systems tell the type; links (cpu → cpu,cpuacct) are none
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (const int err = errno; err != 0) return base::SyscallFailed(err, "read directory '" + dir + "'");
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> SystemKernel::AwaitLine(const std::string& file, std::string_view line,
                                     base::Deadline deadline) const {
  auto fd = base::OpenAt(AT_FDCWD, file, O_RDONLY);
  if (!fd) return fd.TakeError();
  for (;;) {
    char buffer[4096];
    const ssize_t got = ::pread(fd->get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno != EINTR) {
      const int err = errno;
      return base::SyscallFailed(err, "read '" + file + "'");
    }
    if (got > 0 && HasLine(std::string_view(buffer, static_cast<std::size_t>(got)), line)) return {};
    if (deadline.Passed())
      return base::SyscallFailed(ETIMEDOUT, "wait for '" + std::string(line) + "' in '" + file + "'");
    // kernfs wakes at most every 10 ms and a wake-up between read and poll is kept (it compares event
    // numbers), so this needs no period of its own; one second is a belt for kernels that lose one.
    pollfd event{fd->get(), POLLPRI, 0};
    const int left = deadline.PollMs();
    (void)::poll(&event, 1, left < 0 ? 1000 : std::min(left, 1000));
  }
}

void SystemKernel::Kill(const std::vector<pid_t>& pids, const std::function<std::vector<pid_t>()>& list) {
  BERTH_FAULT_POINT("cgroupfs.kill");
  std::vector<std::pair<pid_t, base::UniqueFd>> held;
  std::vector<pid_t>
      unheld;  // out of descriptors: better an unverified signal to a pid just listed than a survivor
  for (const pid_t pid : pids) {
    auto pidfd = base::PidfdOpen(pid);
    if (pidfd)
      held.emplace_back(pid, std::move(*pidfd));
    else if (!base::IsGone(pidfd.error().err))
      unheld.push_back(pid);
    // A thread that leads no process (EINVAL) cannot be held; its process is in the list too.
  }
  const std::vector<pid_t> still = list();
  const auto is_member = [&still](pid_t pid) {
    return std::find(still.begin(), still.end(), pid) != still.end();
  };
  for (const auto& [pid, pidfd] : held) {
    if (is_member(pid)) (void)base::PidfdSignal(pidfd.get(), SIGKILL);
  }
  for (const pid_t pid : unheld) {
    if (is_member(pid)) (void)::kill(pid, SIGKILL);
  }
}

void SystemKernel::Sleep(std::int64_t ns) const {
  const timespec time{static_cast<time_t>(ns / base::kSecondNs), static_cast<long>(ns % base::kSecondNs)};
  (void)::nanosleep(&time, nullptr);
}

pid_t SystemKernel::Self() const { return ::getpid(); }

}  // namespace berth::cgroupfs
