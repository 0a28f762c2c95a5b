// SPDX-License-Identifier: Apache-2.0
// The reply to Status: conditions, handlers, features and, if verbose, JSON for people and kubeadm.
#pragma once

#include "cri/services.h"
#include "proto/cri/v1/api.pb.h"

namespace berth::cri {

// Not verbose: never blocks. Verbose: examines the host (Doctor).
void FillStatus(const Backend& backend, bool verbose, ::runtime::v1::StatusResponse* reply);

}  // namespace berth::cri
