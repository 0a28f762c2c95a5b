// SPDX-License-Identifier: Apache-2.0
// `berth-monitor true [FILE]`: what the probe of an OCI runtime runs in its container.
#pragma once

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <string_view>

namespace berth::monitor {

// Exit status 0, and in FILE "filtered" if this process' system calls are filtered, else "free": only who
// runs inside can tell on every kernel and for every OCI runtime. argv[0] is "true".
inline int TrueMain(int argc, char** argv) {
  if (argc < 2) return 0;
  const std::string_view word = prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER ? "filtered" : "free";
  const int fd = open(argv[1], O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, word.data(), word.size()) == static_cast<ssize_t>(word.size()) ? 0 : 1;
}

}  // namespace berth::monitor
