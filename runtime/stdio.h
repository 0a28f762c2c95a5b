// SPDX-License-Identifier: Apache-2.0
// The standard streams of a command in a container, or of the container's first process, as a client is
// connected with them (exec, attach). The bytes never pass through here: the descriptors are handed over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace berth::runtime {

struct StdioRequest {
  std::vector<std::string> command;  // exec only
  bool tty = false;
  bool in = false;
  bool out = false;
  bool err = false;
};

// The descriptors are the caller's to take; those not asked for are invalid. With a terminal `in`, `out` and
// `terminal` are three of its master. The calls block (they speak with the pod's monitor); thread safe.
class Stdio {
 public:
  Stdio() = default;
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;
  virtual ~Stdio() = default;

  base::UniqueFd in;
  base::UniqueFd out;
  base::UniqueFd err;
  base::UniqueFd terminal;  // for TIOCSWINSZ
  // Readable when the command has ended. Invalid for an attach: that is over when its outputs are.
  base::UniqueFd ended;

  // Once `ended` is readable, and then at once; UNAVAILABLE: the monitor is gone, and the command with it.
  virtual absl::StatusOr<std::int32_t> ExitCode() = 0;
  // The client gives no more input, whatever became of it. Before `in` is closed. Attach: with stdin_once the
  // container's input ends when it has read what there is.
  virtual void InputEnds() = 0;
  // The client is gone. An exec that still runs is killed with all its processes, and reaped.
  virtual void Abandon() = 0;
};

}  // namespace berth::runtime
