// SPDX-License-Identifier: Apache-2.0
// The gRPC services that berthd registers: CRI's two and berth's operator service. Thread safe. They hold no
// state of their own; what they need is named here and outlives them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/executor.h"
#include "cri/doctor.h"
#include "cri/streaming/server.h"
#include "runtime/runtime.h"

namespace grpc {
class Service;
}

namespace berth::cri {

// Not owned. Images, network, handlers and cgroups are reached through runtime->options().
struct Backend {
  runtime::Runtime* runtime = nullptr;
  base::Executor* workers = nullptr;
  const Doctor* doctor = nullptr;
  streaming::Server* streaming = nullptr;
  std::string work_dir;         // on the disk of the images: archives being imported
  std::int64_t started_at = 0;  // of this daemon, wall clock ns
};

// Each includes api.grpc.pb.h, which costs 13 s of compilation: nowhere else.
std::unique_ptr<grpc::Service> MakeRuntimeService(const Backend& backend);
std::unique_ptr<grpc::Service> MakeImageService(const Backend& backend);
std::unique_ptr<grpc::Service> MakeOperatorService(const Backend& backend);

// The largest message taken and sent: kubelet's own limit.
inline constexpr int kMaxMessageBytes = 16 << 20;

}  // namespace berth::cri
