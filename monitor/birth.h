// SPDX-License-Identifier: Apache-2.0
// Small steps that the start of a container and of an exec share.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "monitor/loop.h"

namespace berth::monitor {

struct PipePair {
  base::UniqueFd read;
  base::UniqueFd write;
};
base::Result<PipePair> MakePipe();

// The pid in a runtime's --pid-file.
std::optional<pid_t> ReadPidFile(const std::string& path);

// What is in a pipe or terminal now, without waiting; at most 16 KiB. Sets the descriptor non-blocking.
std::string TakeAvailable(int fd);

// Runs `done(executed)` from the loop as soon as the process has called execve (true), or has died without
// (false: it is a zombie or gone). OCI runtimes answer `start` when their init has been told to execute, and
// not when it has: a binary of the wrong format shows only here. After `limit_ns` it counts as executed.
// `stopped`: set to true to call it off.
void WhenExecuted(Loop& loop, pid_t pid, std::int64_t limit_ns, std::shared_ptr<bool> stopped,
                  std::function<void(bool executed)> done);

}  // namespace berth::monitor
