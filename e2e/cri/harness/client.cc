// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "e2e/cri/harness/wait.h"
#include "proto/cri/v1/api.grpc.pb.h"

namespace berth::e2e {

struct Client::Stubs {
  std::unique_ptr<cri::RuntimeService::Stub> runtime;
  std::unique_ptr<cri::ImageService::Stub> image;
  std::shared_ptr<grpc::Channel> channel;
};

Client::Client(const std::string& endpoint) : stubs_(std::make_unique<Stubs>()) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(16 * 1024 * 1024);  // kubelet's own limit
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  auto channel = grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
  stubs_->runtime = cri::RuntimeService::NewStub(channel);
  stubs_->image = cri::ImageService::NewStub(channel);
  stubs_->channel = channel;
}

Client::~Client() = default;

absl::Status Client::Probe(const std::string& method, Timeout timeout) const {
  grpc::GenericStub stub(stubs_->channel);
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  bool answered = next();
  grpc::ByteBuffer reply;
  if (answered) {
    const grpc::Slice nothing;  // no bytes are the message without fields
    call->WriteLast(grpc::ByteBuffer(&nothing, 1), {}, nullptr);
    next();
    call->Read(&reply, nullptr);
    answered = next();
  }
  if (answered) context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  queue.Shutdown();
  while (next()) {
  }
  if (answered || status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

#define BERTH_DEFINE(service, method, request, response)                                               \
  absl::StatusOr<cri::response> Client::method(const cri::request& message, Timeout timeout) const {   \
    grpc::ClientContext context;                                                                       \
    context.set_wait_for_ready(true); /* a daemon that was just restarted is not an error */           \
    context.set_deadline(std::chrono::system_clock::now() + Patient(timeout));                         \
    cri::response reply;                                                                               \
    const grpc::Status status = stubs_->service->method(&context, message, &reply);                    \
    if (!status.ok()) {                                                                                \
      return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()); \
    }                                                                                                  \
    return reply;                                                                                      \
  }
BERTH_CRI_METHODS(BERTH_DEFINE)
#undef BERTH_DEFINE

}  // namespace berth::e2e
