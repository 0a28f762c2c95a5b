// SPDX-License-Identifier: Apache-2.0
// Usage of containers as protobuf. Pure.
#pragma once

#include "proto/cri/v1/api.pb.h"
#include "runtime/runtime.h"

namespace berth::cri {

// Attributes always (kubelet dereferences them); groups that were not read (a container that does not run, no
// PSI on this host) stay unset instead of zero.
::runtime::v1::ContainerStats StatsMessage(const runtime::ContainerStatsView& view);

}  // namespace berth::cri
