// SPDX-License-Identifier: Apache-2.0
// CRI's Signal enum, which counts alphabetically, and Linux's signal numbers: mapped by name. Pure.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "proto/cri/v1/api.pb.h"

namespace berth::cri {

// nullopt for SIGNAL_RUNTIME_DEFAULT; INVALID_ARGUMENT for a number that the enum does not have.
absl::StatusOr<std::optional<int>> LinuxSignal(::runtime::v1::Signal signal);
// SIGNAL_RUNTIME_DEFAULT for a number without a name in CRI.
::runtime::v1::Signal CriSignal(int linux_signal);

}  // namespace berth::cri
