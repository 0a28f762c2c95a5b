// SPDX-License-Identifier: Apache-2.0
#include "cli/connection.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/berth/operator/v1/operator.grpc.pb.h"
#include "proto/cri/v1/api.grpc.pb.h"

namespace berth::cli {
namespace {

constexpr int kMaxMessageBytes = 16 << 20;

std::string Target(const std::string& endpoint) {
  return absl::StartsWith(endpoint, "unix:") ? endpoint : absl::StrCat("unix://", endpoint);
}

}  // namespace

struct Connection::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : runtime(cri::RuntimeService::NewStub(channel)),
        image(cri::ImageService::NewStub(channel)),
        ops(ops::Operator::NewStub(channel)) {}

  absl::Status Convert(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }
  template <typename Response, typename Call>
  absl::StatusOr<Response> Get(Call call) const {
    grpc::ClientContext context;
    Response response;
    if (auto status = Convert(call(&context, &response)); !status.ok()) return status;
    return response;
  }

  std::unique_ptr<cri::RuntimeService::Stub> runtime;
  std::unique_ptr<cri::ImageService::Stub> image;
  std::unique_ptr<ops::Operator::Stub> ops;
};

Connection::Connection(const std::string& endpoint) : endpoint_(Target(endpoint)) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // A unix socket's path is no host name: gRPC's server refuses it as :authority.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  stubs_ = std::make_unique<Stubs>(
      grpc::CreateCustomChannel(endpoint_, grpc::InsecureChannelCredentials(), arguments));
}

Connection::~Connection() = default;

absl::StatusOr<cri::ListContainersResponse> Connection::ListContainers(
    const cri::ListContainersRequest& request) {
  return stubs_->Get<cri::ListContainersResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->ListContainers(c, request, r); });
}

absl::StatusOr<cri::ListPodSandboxResponse> Connection::ListPods(const cri::ListPodSandboxRequest& request) {
  return stubs_->Get<cri::ListPodSandboxResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->ListPodSandbox(c, request, r); });
}

absl::StatusOr<cri::ContainerStatusResponse> Connection::ContainerStatus(
    const cri::ContainerStatusRequest& request) {
  return stubs_->Get<cri::ContainerStatusResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->ContainerStatus(c, request, r); });
}

absl::StatusOr<cri::ListImagesResponse> Connection::ListImages(const cri::ListImagesRequest& request) {
  return stubs_->Get<cri::ListImagesResponse>(
      [&](auto* c, auto* r) { return stubs_->image->ListImages(c, request, r); });
}

absl::StatusOr<cri::ImageStatusResponse> Connection::ImageStatus(const cri::ImageStatusRequest& request) {
  return stubs_->Get<cri::ImageStatusResponse>(
      [&](auto* c, auto* r) { return stubs_->image->ImageStatus(c, request, r); });
}

absl::StatusOr<cri::PullImageResponse> Connection::PullImage(const cri::PullImageRequest& request) {
  return stubs_->Get<cri::PullImageResponse>(
      [&](auto* c, auto* r) { return stubs_->image->PullImage(c, request, r); });
}

absl::StatusOr<cri::RunPodSandboxResponse> Connection::RunPod(const cri::RunPodSandboxRequest& request) {
  return stubs_->Get<cri::RunPodSandboxResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->RunPodSandbox(c, request, r); });
}

absl::Status Connection::StopPod(const std::string& id) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return stubs_
      ->Get<cri::StopPodSandboxResponse>(
          [&](auto* c, auto* r) { return stubs_->runtime->StopPodSandbox(c, request, r); })
      .status();
}

absl::Status Connection::RemovePod(const std::string& id) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return stubs_
      ->Get<cri::RemovePodSandboxResponse>(
          [&](auto* c, auto* r) { return stubs_->runtime->RemovePodSandbox(c, request, r); })
      .status();
}

absl::StatusOr<cri::CreateContainerResponse> Connection::CreateContainer(
    const cri::CreateContainerRequest& request) {
  return stubs_->Get<cri::CreateContainerResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->CreateContainer(c, request, r); });
}

absl::Status Connection::StartContainer(const std::string& id) {
  cri::StartContainerRequest request;
  request.set_container_id(id);
  return stubs_
      ->Get<cri::StartContainerResponse>(
          [&](auto* c, auto* r) { return stubs_->runtime->StartContainer(c, request, r); })
      .status();
}

absl::StatusOr<std::string> Connection::Exec(const cri::ExecRequest& request) {
  auto reply =
      stubs_->Get<cri::ExecResponse>([&](auto* c, auto* r) { return stubs_->runtime->Exec(c, request, r); });
  if (!reply.ok()) return reply.status();
  return reply->url();
}

absl::StatusOr<std::string> Connection::Attach(const cri::AttachRequest& request) {
  auto reply = stubs_->Get<cri::AttachResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->Attach(c, request, r); });
  if (!reply.ok()) return reply.status();
  return reply->url();
}

absl::StatusOr<std::string> Connection::PortForward(const std::string& pod, std::uint16_t port) {
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(pod);
  request.add_port(port);
  auto reply = stubs_->Get<cri::PortForwardResponse>(
      [&](auto* c, auto* r) { return stubs_->runtime->PortForward(c, request, r); });
  if (!reply.ok()) return reply.status();
  return reply->url();
}

absl::StatusOr<ops::VersionResponse> Connection::Version() {
  return stubs_->Get<ops::VersionResponse>(
      [&](auto* c, auto* r) { return stubs_->ops->Version(c, ops::VersionRequest(), r); });
}

absl::StatusOr<ops::ExplainResponse> Connection::Explain(const ops::ExplainRequest& request) {
  return stubs_->Get<ops::ExplainResponse>(
      [&](auto* c, auto* r) { return stubs_->ops->Explain(c, request, r); });
}

absl::StatusOr<ops::DoctorResponse> Connection::Doctor() {
  return stubs_->Get<ops::DoctorResponse>(
      [&](auto* c, auto* r) { return stubs_->ops->Doctor(c, ops::DoctorRequest(), r); });
}

absl::StatusOr<ops::FsckResponse> Connection::Fsck(const ops::FsckRequest& request) {
  return stubs_->Get<ops::FsckResponse>([&](auto* c, auto* r) { return stubs_->ops->Fsck(c, request, r); });
}

absl::StatusOr<ops::ImportImageResponse> Connection::ImportImage(
    const std::function<bool(ops::ImportImageRequest*)>& next) {
  grpc::ClientContext context;
  ops::ImportImageResponse response;
  const auto writer = stubs_->ops->ImportImage(&context, &response);
  ops::ImportImageRequest request;
  while (next(&request)) {
    if (!writer->Write(request)) break;  // the daemon ended it: Finish tells why
    request.Clear();
  }
  writer->WritesDone();
  if (auto status = stubs_->Convert(writer->Finish()); !status.ok()) return status;
  return response;
}

}  // namespace berth::cli
