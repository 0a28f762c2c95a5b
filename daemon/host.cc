// SPDX-License-Identifier: Apache-2.0
#include "daemon/host.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/inherit.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::daemon {
namespace {

constexpr std::uint64_t kDescriptors = 65536;
constexpr std::int64_t kLockPatienceNs = 2 * base::kSecondNs;
constexpr char kLibexec[] = "/usr/libexec/berth";

}  // namespace

void PrepareProcess() {
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  if (auto raised = base::RaiseDescriptorLimit(kDescriptors); !raised) {
    base::LogWarning("the limit of open files could not be raised",
                     {{"error", base::ToStatus(raised.error())}});
  }
}

absl::Status OwnDirectory(const std::string& path) {
  BERTH_FAULT_POINT("daemon.directory");
  BERTH_RETURN_IF_ERROR(
      base::Annotate(base::ToStatus(base::MakeDirs(path, 0711)), absl::StrCat("make '", path, "'")));
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return base::SyscallError(errno, absl::StrCat("stat '", path, "'"));
  if (!S_ISDIR(facts.st_mode))
    return absl::FailedPreconditionError(absl::StrCat("'", path, "' is no directory"));
  if (facts.st_uid != ::geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat("'", path, "' belongs to user ", facts.st_uid,
                                                      " instead of ", ::geteuid(),
                                                      "; chown it, or name another directory"));
  }
  // Releases before user namespaces made it 0700; any other mode is an administrator's.
  if ((facts.st_mode & 07777) == 0700 && ::chmod(path.c_str(), 0711) != 0)
    return base::SyscallError(errno, absl::StrCat("chmod '", path, "'"));
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", path, "' can be written by others than its owner; chmod go-w it, or name another directory"));
  }
  return absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> LockDirectory(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/berthd.lock");
  BERTH_FAULT_POINT("daemon.lock");
  BERTH_ASSIGN_OR_RETURN(auto file, base::ToStatusOr(base::OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT,
                                                                  base::Resolve::kAnywhere, 0600)));
  // A child that a killed berthd had between fork and exec holds it for a moment longer.
  const base::Deadline deadline = base::Deadline::After(kLockPatienceNs);
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return base::SyscallError(errno, absl::StrCat("lock '", path, "'"));
    if (!deadline.Passed()) {
      ::usleep(20'000);
      continue;
    }
    return absl::FailedPreconditionError(
        absl::StrCat("another berthd runs with '", dir, "' (it holds '", path, "')"));
  }
  return file;
}

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) return base::SyscallError(errno, "readlink '/proc/self/exe'");
  const std::string own(self, static_cast<std::size_t>(length));
  const std::string beside = own.substr(0, own.rfind('/'));
  for (const std::string& dir : {beside, std::string(kLibexec)}) {
    std::string path = absl::StrCat(dir, "/", name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return absl::NotFoundError(
      absl::StrCat("'", name, "' is neither in '", beside, "' nor in '", kLibexec, "'"));
}

}  // namespace berth::daemon
