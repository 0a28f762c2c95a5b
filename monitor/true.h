// SPDX-License-Identifier: Apache-2.0
// `berth-monitor true [FILE]`: what the probe of an OCI runtime runs in its container.
#pragma once

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace berth::monitor {

// Exit status 0, and "filtered" in FILE if this process' system calls are filtered: only who runs inside can
// tell on every kernel and for every OCI runtime. argv[0] is "true".
inline int TrueMain(int argc, char** argv) {
  if (argc < 2 || prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER) return 0;
  const int fd = open(argv[1], O_WRONLY | O_CLOEXEC);
  constexpr char kWord[] = "filtered";
  constexpr ssize_t kLength = sizeof kWord - 1;
  return fd >= 0 && write(fd, kWord, kLength) == kLength ? 0 : 1;
}

}  // namespace berth::monitor
