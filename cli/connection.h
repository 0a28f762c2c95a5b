// SPDX-License-Identifier: Apache-2.0
// The daemon as the CLI sees it: blocking calls over the unix socket. The generated gRPC stubs, slow to
// compile, stay in connection.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/berth/operator/v1/operator.pb.h"
#include "proto/cri/v1/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;
namespace ops = ::berth::ops::v1;

// Every call returns the daemon's status with its message; UNAVAILABLE says how to reach it. Not thread safe.
class Connection {
 public:
  // "unix:///run/berth/berth.sock" or a plain path.
  explicit Connection(const std::string& endpoint);
  ~Connection();

  absl::StatusOr<cri::ListContainersResponse> ListContainers(const cri::ListContainersRequest& request);
  absl::StatusOr<cri::ListPodSandboxResponse> ListPods(const cri::ListPodSandboxRequest& request);
  absl::StatusOr<cri::ContainerStatusResponse> ContainerStatus(const cri::ContainerStatusRequest& request);
  absl::StatusOr<cri::ListImagesResponse> ListImages(const cri::ListImagesRequest& request);
  absl::StatusOr<cri::ImageStatusResponse> ImageStatus(const cri::ImageStatusRequest& request);
  absl::StatusOr<cri::PullImageResponse> PullImage(const cri::PullImageRequest& request);
  absl::StatusOr<cri::RunPodSandboxResponse> RunPod(const cri::RunPodSandboxRequest& request);
  absl::Status StopPod(const std::string& id);
  absl::Status RemovePod(const std::string& id);
  absl::StatusOr<cri::CreateContainerResponse> CreateContainer(const cri::CreateContainerRequest& request);
  absl::Status StartContainer(const std::string& id);
  // URLs of the streaming server: each counts once, for a minute.
  absl::StatusOr<std::string> Exec(const cri::ExecRequest& request);
  absl::StatusOr<std::string> Attach(const cri::AttachRequest& request);
  absl::StatusOr<std::string> PortForward(const std::string& pod, std::uint16_t port);
  absl::StatusOr<ops::VersionResponse> Version();
  absl::StatusOr<ops::ExplainResponse> Explain(const ops::ExplainRequest& request);
  absl::StatusOr<ops::DoctorResponse> Doctor();
  absl::StatusOr<ops::FsckResponse> Fsck(const ops::FsckRequest& request);
  // Calls `next` for each further message until it returns false.
  absl::StatusOr<ops::ImportImageResponse> ImportImage(
      const std::function<bool(ops::ImportImageRequest*)>& next);

 private:
  struct Stubs;
  std::unique_ptr<Stubs> stubs_;
  std::string endpoint_;
};

}  // namespace berth::cli
