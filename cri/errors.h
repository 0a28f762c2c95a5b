// SPDX-License-Identifier: Apache-2.0
// Our statuses as gRPC's. Pure.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace berth::cri {

// A grpc-message travels percent-encoded in the trailers, and clients refuse trailers above 8 KiB (gRPC's own
// default), so a text is cut to this many bytes as encoded.
inline constexpr std::size_t kMaxEncodedMessageBytes = 6000;

// The code as it is, but INTERNAL for a status that still carries a raw errno: a failed system call of ours
// is not kubelet's bad request, and its ENOENT must never read as NOT_FOUND.
grpc::Status ToGrpc(const absl::Status& status);

// `text` when it fits; else its beginning and its end around a note of how much is left out. Bytes that are
// not UTF-8 become '?' (Go clients refuse the whole reply otherwise).
std::string FitMessage(const std::string& text);

}  // namespace berth::cri
