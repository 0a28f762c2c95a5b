// SPDX-License-Identifier: Apache-2.0
#include "daemon/watchdog.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <systemd/sd-daemon.h>

#include <chrono>

#include "base/log.h"
#include "proto/berth/operator/v1/operator.grpc.pb.h"

namespace berth::daemon {
namespace {

constexpr int kPerPeriod = 3;

}  // namespace

absl::Status CallOwnSocket(const std::string& socket, std::int64_t timeout_ns) {
  grpc::ChannelArguments arguments;
  // A unix socket's path is no host name: gRPC's server refuses it as :authority.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a new connection: accepting must work too
  const auto stub = ops::v1::Operator::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::nanoseconds(timeout_ns));
  ops::v1::VersionResponse reply;
  const grpc::Status status = stub->Version(&context, ops::v1::VersionRequest(), &reply);
  return status.ok()
             ? absl::OkStatus()
             : absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

Watchdog::Watchdog(Alive alive) : alive_(std::move(alive)) {
  std::uint64_t period_us = 0;
  if (::sd_watchdog_enabled(0, &period_us) <= 0) return;
  gap_ns_ = static_cast<std::int64_t>(period_us) * 1000 / kPerPeriod;
  thread_ = std::thread([this] { Loop(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const absl::Status alive = alive_(gap_ns_);
    if (alive.ok())
      ::sd_notify(0, "WATCHDOG=1");
    else
      base::LogError("berthd does not answer itself; systemd ends it if that goes on", {{"error", alive}});
    lock.lock();
    wake_.wait_for(lock, std::chrono::nanoseconds(gap_ns_), [this] { return stopping_; });
  }
}

}  // namespace berth::daemon
