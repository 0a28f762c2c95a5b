// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "daemon/config.h"
#include "daemon/stop.h"

namespace berth::daemon {

// Wires the parts together, serves until a stop signal comes, takes them apart again. Pods are left alone. An
// error tells what kept berthd from starting.
absl::Status Serve(const Config& config, StopSignals& stop);

}  // namespace berth::daemon
