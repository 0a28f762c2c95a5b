// SPDX-License-Identifier: Apache-2.0
// Files and directories by descriptor. Everything here opens O_CLOEXEC and is thread safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace berth::base {

// How a path may leave the directory it is resolved from (openat2(2), Linux 5.6).
enum class Resolve {
  kAnywhere,   // an ordinary path of our own
  kInRoot,     // RESOLVE_IN_ROOT | NO_MAGICLINKS: `dir` is "/" for every link and "..": paths of images and
               // containers
  kBeneath,    // RESOLVE_BENEATH | NO_MAGICLINKS: leaving `dir` is EXDEV
  kNoSymlinks  // RESOLVE_BENEATH | NO_SYMLINKS: nothing may be a link
};

// `dir` may be AT_FDCWD. `flags` as open(2) (O_CLOEXEC is added).
Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, Resolve resolve = Resolve::kAnywhere,
                        mode_t mode = 0);
inline constexpr std::size_t kDefaultReadCap = 1 << 20;

// Whole content; EFBIG when it is longer than `cap`.
Result<std::string> ReadFd(int fd, std::size_t cap = kDefaultReadCap);
Result<std::string> ReadFileAt(int dir, const std::string& path, std::size_t cap = kDefaultReadCap);
Result<std::string> ReadFile(const std::string& path, std::size_t cap = kDefaultReadCap);

// All of `data`, going on after short writes and EINTR.
Result<void> WriteAll(int fd, std::string_view data);

// One write(2) to a kernel control file (cgroup, proc): a short write is an error.
Result<void> WriteControl(const std::string& path, std::string_view value);
Result<void> WriteControlAt(int dir, const std::string& path, std::string_view value);

// Creates or replaces `path` so that after a power loss there is either the old or the new content:
// temp file beside it, fsync, rename, fsync of the directory.
Result<void> WriteFileDurable(const std::string& path, std::string_view content, mode_t mode = 0600);

// Creates or replaces `path` without syncing (state on tmpfs, files made anew at each start).
Result<void> WriteFile(const std::string& path, std::string_view content, mode_t mode = 0600);

Result<void> FsyncDir(const std::string& path);

// mkdir -p; `mode` is for directories made here, exactly (the umask does not count, as in WriteFile).
Result<void> MakeDirs(const std::string& path, mode_t mode = 0700);

// rm -rf without following links and without crossing into another file system (a mount left inside is
// EBUSY/EXDEV, not erased). A missing path is success.
Result<void> RemoveTree(const std::string& path);

// Names in a directory without "." and "..", sorted.
Result<std::vector<std::string>> ListDir(const std::string& path);

bool Exists(const std::string& path);

// Is this errno one that says the object is already gone (ENOENT, ENODEV, ESRCH)?
bool IsGone(int err);

}  // namespace berth::base
