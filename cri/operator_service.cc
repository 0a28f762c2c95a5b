// SPDX-License-Identifier: Apache-2.0
// berth's own service for its operator.
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "cri/errors.h"
#include "cri/explain_reply.h"
#include "cri/fsck_reply.h"
#include "cri/import.h"
#include "cri/reactor.h"
#include "cri/services.h"
#include "monitor/messages.h"
#include "proto/berth/operator/v1/operator.grpc.pb.h"

namespace berth::cri {
namespace {

namespace ops = ::berth::ops::v1;
using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

constexpr char kCriLevel[] = "0.37.2";
constexpr std::uint32_t kStoreSchema = 1;  // store/store.h: frozen; later versions only add

ops::DoctorStatus StatusOf(CheckStatus status) {
  switch (status) {
    case CheckStatus::kOk:
      return ops::DOCTOR_STATUS_OK;
    case CheckStatus::kWarning:
      return ops::DOCTOR_STATUS_WARNING;
    case CheckStatus::kFailure:
      return ops::DOCTOR_STATUS_FAILURE;
    case CheckStatus::kSkipped:
      break;
  }
  return ops::DOCTOR_STATUS_SKIPPED;
}

// Receives an archive piece by piece. Disk writes run on the executor, one at a time: the next piece is asked
// for when the last one is written, so order needs no lock. Deletes itself when gRPC is done with it.
class ImportCall final : public grpc::ServerReadReactor<ops::ImportImageRequest> {
 public:
  ImportCall(const Backend& backend, Context* context, ops::ImportImageResponse* reply)
      : backend_(backend),
        context_(context),
        reply_(reply),
        import_(backend.work_dir, *backend.runtime->options().images) {
    StartRead(&part_);
  }
  void OnReadDone(bool ok) override {
    if (!backend_.workers->Submit([this, ok] { ok ? Take() : End(); })) {
      Finish({grpc::StatusCode::UNAVAILABLE, "berthd is shutting down"});
    }
  }
  void OnDone() override { delete this; }

 private:
  void Take() {
    const absl::Status taken = import_.Take(part_);
    if (!taken.ok()) return Finish(ToGrpc(taken));
    StartRead(&part_);
  }
  void End() {
    // A client that left looks like one that sent everything.
    if (context_->IsCancelled())
      return Finish({grpc::StatusCode::CANCELLED, "the client left before the end of the archive"});
    Finish(ToGrpc(import_.Commit(reply_)));
  }

  const Backend backend_;
  Context* const context_;
  ops::ImportImageResponse* const reply_;
  ops::ImportImageRequest part_;
  Import import_;
};

class OperatorService final : public ops::Operator::CallbackService {
 public:
  explicit OperatorService(const Backend& backend) : backend_(backend) {}

  Unary* Version(Context* context, const ops::VersionRequest*, ops::VersionResponse* reply) override {
    reply->set_version(BERTH_VERSION);
    reply->set_runtime_name("berth");
    reply->set_cri_level(kCriLevel);
    reply->set_monitor_protocol(monitor::kProtocolVersion);
    reply->set_store_schema(kStoreSchema);
    reply->set_started_unix_ns(backend_.started_at);
    reply->set_pid(::getpid());
    reply->set_boot_id(base::BootId());
    return Answer(context, absl::OkStatus());
  }
  grpc::ServerReadReactor<ops::ImportImageRequest>* ImportImage(Context* context,
                                                                ops::ImportImageResponse* reply) override {
    return new ImportCall(backend_, context, reply);
  }
  Unary* Explain(Context* context, const ops::ExplainRequest* request, ops::ExplainResponse* reply) override {
    return Work(context, "Explain", [this, request, reply](const runtime::Caller&) -> absl::Status {
      if (request->id().empty()) return absl::InvalidArgumentError("id is empty");
      BERTH_ASSIGN_OR_RETURN(const auto explanation, backend_.runtime->Explain(request->id()));
      FillExplanation(*backend_.runtime, explanation, request->max_log_lines(), reply);
      return absl::OkStatus();
    });
  }
  Unary* Doctor(Context* context, const ops::DoctorRequest*, ops::DoctorResponse* reply) override {
    return Work(context, "Doctor", [this, reply](const runtime::Caller&) {
      for (const auto& check : backend_.doctor->Run()) {
        auto* out = reply->add_checks();
        out->set_name(check.name);
        out->set_status(StatusOf(check.status));
        out->set_found(check.found);
        out->set_remedy(check.remedy);
      }
      return absl::OkStatus();
    });
  }
  Unary* Fsck(Context* context, const ops::FsckRequest* request, ops::FsckResponse* reply) override {
    return Work(context, "Fsck", [this, request, reply](const runtime::Caller&) -> absl::Status {
      BERTH_ASSIGN_OR_RETURN(const auto report, backend_.runtime->Fsck(request->repair()));
      FillFsck(report, reply);
      return absl::OkStatus();
    });
  }

 private:
  Unary* Work(Context* context, const char* method,
              std::function<absl::Status(const runtime::Caller&)> work) {
    return RunOnWorker(*backend_.workers, context, method, std::move(work));
  }
  const Backend backend_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeOperatorService(const Backend& backend) {
  return std::make_unique<OperatorService>(backend);
}

}  // namespace berth::cri
