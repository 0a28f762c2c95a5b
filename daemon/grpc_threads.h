// SPDX-License-Identifier: Apache-2.0
// gRPC 1.51 adds threads to its executor when work piles up there, up to twice the number of CPUs, and does
// not look whether the kernel gave them: work goes to a thread that is not there, and the connection that it
// belonged to never answers again (seen with pids.max reached: all threads idle, one of "default-executo",
// each call hung until berthd was started anew). So it gets all of them before it serves.
#pragma once

#include "absl/status/status.h"

namespace berth::daemon {

// Once, before the server starts; the threads stay until the process ends (gRPC is never shut down: for the
// threads that it was refused it would wait). RESOURCE_EXHAUSTED when the kernel does not give them.
absl::Status ReserveGrpcThreads();

}  // namespace berth::daemon
