// SPDX-License-Identifier: Apache-2.0
#include "store/quarantine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/status.h"

namespace berth::store {
namespace {

std::string DirectoryOf(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// "20261122T143000Z": sorts by time, needs no quoting.
std::string TimeText() {
  const time_t now = static_cast<time_t>(base::RealtimeNs() / base::kSecondNs);
  tm parts{};
  (void)::gmtime_r(&now, &parts);
  char text[32];
  (void)::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

}  // namespace

absl::Status PrepareFile(const std::string& path) {
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::MakeDirs(DirectoryOf(path), 0700)));
  auto fd = base::OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOCTTY, base::Resolve::kAnywhere, 0600);
  if (!fd) return base::ToStatus(fd.error());
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return base::SyscallError(errno, absl::StrCat("stat '", path, "'"));
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(absl::StrCat("database '", path, "' is no regular file"));
  // Records name secrets' mounts and environment variables.
  if ((info.st_mode & 0777) != 0600 && ::fchmod(fd->get(), 0600) != 0) {
    return base::SyscallError(errno, absl::StrCat("make '", path, "' private"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MoveAside(const std::string& path) {
  std::string aside = absl::StrCat(path, ".broken-", TimeText());
  for (int i = 2; base::Exists(aside); ++i) aside = absl::StrCat(path, ".broken-", TimeText(), ".", i);
  // The file last: as long as it stands here the next start does all of this again.
  for (const char* suffix : {"-shm", "-wal", ""}) {
    BERTH_FAULT_POINT("store.quarantine");
    const std::string from = path + suffix;
    const std::string to = aside + suffix;
    if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      const int err = errno;
      return base::SyscallError(err, absl::StrCat("move broken database '", from, "' aside to '", to, "'"));
    }
  }
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::FsyncDir(DirectoryOf(path))));
  return aside;
}

}  // namespace berth::store
