// SPDX-License-Identifier: Apache-2.0
// How a call becomes work. gRPC's own few threads only convert and hand over: look-ups that read an immutable
// snapshot are answered on them (Answer), everything that may block runs on our executor (RunOnWorker).
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/executor.h"
#include "runtime/runtime.h"

namespace berth::cri {

// Runs `work` on `workers` and finishes the call with its status. The Caller it gets is cancelled when the
// client goes away or its deadline passes; work whose client left before it began is not begun. Request and
// response stay valid until `work` returns. `method` names the call in the log. UNAVAILABLE when the executor
// is stopping, RESOURCE_EXHAUSTED when the node is out of threads.
grpc::ServerUnaryReactor* RunOnWorker(base::Executor& workers, grpc::CallbackServerContext* context,
                                      const char* method,
                                      std::function<absl::Status(const runtime::Caller&)> work);

// Finishes at once.
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status);

// The client's deadline on the monotonic clock; never for one a year away.
base::Deadline DeadlineOf(const grpc::CallbackServerContext& context);

// Sends `chunks` one after the other, then the status. No chunks: no message and the status.
template <typename Reply>
class ChunkWriter final : public grpc::ServerWriteReactor<Reply> {
 public:
  ChunkWriter() = default;
  // Once, from any thread.
  void Begin(std::vector<Reply> chunks, grpc::Status status) {
    chunks_ = std::move(chunks);
    status_ = std::move(status);
    Next();
  }
  void OnWriteDone(bool ok) override {
    ok ? Next() : this->Finish({grpc::StatusCode::CANCELLED, "the client left"});
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (next_ < chunks_.size()) {
      this->StartWrite(&chunks_[next_++]);
    } else {
      this->Finish(status_);
    }
  }
  std::vector<Reply> chunks_;
  grpc::Status status_;
  std::size_t next_ = 0;
};

}  // namespace berth::cri
