// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/status.h"

namespace berth::runtime {

struct Pipe {
  base::UniqueFd read, write;
};

inline absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::SyscallError(errno, "pipe2");
  return Pipe{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

}  // namespace berth::runtime
