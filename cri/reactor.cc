// SPDX-License-Identifier: Apache-2.0
#include "cri/reactor.h"

#include <grpcpp/server_context.h>

#include <chrono>
#include <memory>

#include "base/cancellation.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/errors.h"

namespace berth::cri {
namespace {

// DefaultReactor has no OnCancel, and without it nobody learns that kubelet has given up. Deletes itself when
// gRPC is done with it, which is after Finish and after OnCancel.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  explicit UnaryCall(const char* method) : method_(method) {}

  void Start(base::Executor& workers, base::Deadline deadline,
             std::function<absl::Status(const runtime::Caller&)> work) {
    const runtime::Caller caller{cancellation_, deadline};
    const absl::Status accepted = workers.TrySubmit([this, caller, work = std::move(work)] {
      End(caller.cancellation->cancelled() ? absl::CancelledError("the client left before the work began")
                                           : work(caller));
    });
    if (!accepted.ok()) Finish(ToGrpc(base::Annotate(accepted, "berthd cannot take the call on")));
  }

  void OnCancel() override { cancellation_->Cancel(); }
  void OnDone() override { delete this; }

 private:
  void End(const absl::Status& status) {
    if (!status.ok()) base::LogInfo("call failed", {{"method", method_}, {"error", status}});
    Finish(ToGrpc(status));  // may delete this
  }

  const char* const method_;
  const std::shared_ptr<base::Cancellation> cancellation_ = std::make_shared<base::Cancellation>();
};

}  // namespace

base::Deadline DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  const auto now = std::chrono::system_clock::now();
  if (deadline > now + std::chrono::hours(24 * 365)) return base::Deadline::Never();
  return base::Deadline::After(std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - now).count());
}

grpc::ServerUnaryReactor* RunOnWorker(base::Executor& workers, grpc::CallbackServerContext* context,
                                      const char* method,
                                      std::function<absl::Status(const runtime::Caller&)> work) {
  auto* call = new UnaryCall(method);
  call->Start(workers, DeadlineOf(*context), std::move(work));
  return call;
}

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace berth::cri
