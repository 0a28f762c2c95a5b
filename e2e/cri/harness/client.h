// SPDX-License-Identifier: Apache-2.0
// The CRI over a unix socket, one method per RPC. gRPC itself stays in client.cc.
#pragma once

#include <absl/status/statusor.h>

#include <chrono>
#include <memory>
#include <string>

#include "proto/cri/v1/api.pb.h"

namespace berth::e2e {

namespace cri = ::runtime::v1;

// BERTH_CRI_METHODS(X): X(service, method, request, response)
#define BERTH_CRI_METHODS(X)                                                                                 \
  X(runtime, Version, VersionRequest, VersionResponse)                                                       \
  X(runtime, RunPodSandbox, RunPodSandboxRequest, RunPodSandboxResponse)                                     \
  X(runtime, StopPodSandbox, StopPodSandboxRequest, StopPodSandboxResponse)                                  \
  X(runtime, RemovePodSandbox, RemovePodSandboxRequest, RemovePodSandboxResponse)                            \
  X(runtime, PodSandboxStatus, PodSandboxStatusRequest, PodSandboxStatusResponse)                            \
  X(runtime, ListPodSandbox, ListPodSandboxRequest, ListPodSandboxResponse)                                  \
  X(runtime, CreateContainer, CreateContainerRequest, CreateContainerResponse)                               \
  X(runtime, StartContainer, StartContainerRequest, StartContainerResponse)                                  \
  X(runtime, StopContainer, StopContainerRequest, StopContainerResponse)                                     \
  X(runtime, RemoveContainer, RemoveContainerRequest, RemoveContainerResponse)                               \
  X(runtime, ListContainers, ListContainersRequest, ListContainersResponse)                                  \
  X(runtime, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse)                               \
  X(runtime, UpdateContainerResources, UpdateContainerResourcesRequest, UpdateContainerResourcesResponse)    \
  X(runtime, UpdatePodSandboxResources, UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse) \
  X(runtime, ReopenContainerLog, ReopenContainerLogRequest, ReopenContainerLogResponse)                      \
  X(runtime, ExecSync, ExecSyncRequest, ExecSyncResponse)                                                    \
  X(runtime, Exec, ExecRequest, ExecResponse)                                                                \
  X(runtime, ContainerStats, ContainerStatsRequest, ContainerStatsResponse)                                  \
  X(runtime, ListContainerStats, ListContainerStatsRequest, ListContainerStatsResponse)                      \
  X(runtime, ListPodSandboxStats, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse)                   \
  X(runtime, UpdateRuntimeConfig, UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse)                   \
  X(runtime, Status, StatusRequest, StatusResponse)                                                          \
  X(runtime, RuntimeConfig, RuntimeConfigRequest, RuntimeConfigResponse)                                     \
  X(runtime, CheckpointContainer, CheckpointContainerRequest, CheckpointContainerResponse)                   \
  X(image, ListImages, ListImagesRequest, ListImagesResponse)                                                \
  X(image, ImageStatus, ImageStatusRequest, ImageStatusResponse)                                             \
  X(image, PullImage, PullImageRequest, PullImageResponse)                                                   \
  X(image, RemoveImage, RemoveImageRequest, RemoveImageResponse)                                             \
  X(image, ImageFsInfo, ImageFsInfoRequest, ImageFsInfoResponse)

// Thread-safe. A gRPC code becomes the absl code of the same number, the message is kept.
class Client {
 public:
  explicit Client(const std::string& endpoint);  // unix:///path
  ~Client();

  using Timeout = std::chrono::milliseconds;
#define BERTH_DECLARE(service, method, request, response) \
  absl::StatusOr<cri::response> method(const cri::request& message, Timeout timeout = kPatience) const;
  BERTH_CRI_METHODS(BERTH_DECLARE)
#undef BERTH_DECLARE

  // What an empty request to `method` ("/runtime.v1.RuntimeService/Exec") is answered with, whatever its
  // types are and whether it streams: the end of the call, or OK as soon as a first message came.
  absl::Status Probe(const std::string& method, Timeout timeout = std::chrono::seconds(10)) const;

  static constexpr Timeout kPatience = std::chrono::seconds(60);

 private:
  struct Stubs;
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace berth::e2e
