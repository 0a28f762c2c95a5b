// SPDX-License-Identifier: Apache-2.0
// CRI's RuntimeService: convert, hand over, finish. What a call means is decided in runtime/.
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/convert_container.h"
#include "cri/convert_pod.h"
#include "cri/convert_resources.h"
#include "cri/convert_stats.h"
#include "cri/errors.h"
#include "cri/filters.h"
#include "cri/lists.h"
#include "cri/reactor.h"
#include "cri/services.h"
#include "cri/status_reply.h"
#include "cri/verbose.h"
#include "proto/cri/v1/api.grpc.pb.h"

namespace berth::cri {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;
using runtime::Caller;

absl::Status Need(const char* field, const std::string& value) {
  return value.empty() ? absl::InvalidArgumentError(absl::StrCat(field, " is empty")) : absl::OkStatus();
}

class RuntimeService final : public v1::RuntimeService::CallbackService {
 public:
  explicit RuntimeService(const Backend& backend) : backend_(backend), runtime_(*backend.runtime) {}

  // The runtime itself
  // ---------------------------------------------------------------------------------------
  Unary* Version(Context* context, const v1::VersionRequest*, v1::VersionResponse* reply) override {
    reply->set_version("0.1.0");  // of the kubelet API: kubelet exits on any other
    reply->set_runtime_name("berth");
    reply->set_runtime_version(BERTH_VERSION);
    reply->set_runtime_api_version("v1");
    return Answer(context, absl::OkStatus());
  }
  Unary* Status(Context* context, const v1::StatusRequest* request, v1::StatusResponse* reply) override {
    if (request->verbose()) {
      return Work(context, "Status", [this, reply](const Caller&) {
        FillStatus(backend_, true, reply);
        return absl::OkStatus();
      });
    }
    FillStatus(backend_, false, reply);
    return Answer(context, absl::OkStatus());
  }
  Unary* RuntimeConfig(Context* context, const v1::RuntimeConfigRequest*,
                       v1::RuntimeConfigResponse* reply) override {
    reply->mutable_linux()->set_cgroup_driver(v1::CGROUPFS);
    return Answer(context, absl::OkStatus());
  }
  Unary* UpdateRuntimeConfig(Context* context, const v1::UpdateRuntimeConfigRequest* request,
                             v1::UpdateRuntimeConfigResponse*) override {
    return Work(context, "UpdateRuntimeConfig", [this, request](const Caller&) {
      const std::string& cidr = request->runtime_config().network_config().pod_cidr();
      return cidr.empty() ? absl::OkStatus() : runtime_.options().network->SetPodCidr(cidr);
    });
  }

  // Pods
  // -----------------------------------------------------------------------------------------------------
  Unary* RunPodSandbox(Context* context, const v1::RunPodSandboxRequest* request,
                       v1::RunPodSandboxResponse* reply) override {
    return Work(context, "RunPodSandbox", [this, request, reply](const Caller& caller) {
      BERTH_ASSIGN_OR_RETURN(const auto config, PodConfigFrom(request->config()));
      BERTH_ASSIGN_OR_RETURN(*reply->mutable_pod_sandbox_id(),
                             runtime_.RunPod(config, request->runtime_handler(), caller));
      return absl::OkStatus();
    });
  }
  Unary* StopPodSandbox(Context* context, const v1::StopPodSandboxRequest* request,
                        v1::StopPodSandboxResponse*) override {
    return Work(context, "StopPodSandbox", [this, request](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("pod_sandbox_id", request->pod_sandbox_id()));
      return runtime_.StopPod(request->pod_sandbox_id(), caller);
    });
  }
  Unary* RemovePodSandbox(Context* context, const v1::RemovePodSandboxRequest* request,
                          v1::RemovePodSandboxResponse*) override {
    return Work(context, "RemovePodSandbox", [this, request](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("pod_sandbox_id", request->pod_sandbox_id()));
      return runtime_.RemovePod(request->pod_sandbox_id(), caller);
    });
  }
  Unary* PodSandboxStatus(Context* context, const v1::PodSandboxStatusRequest* request,
                          v1::PodSandboxStatusResponse* reply) override {
    return Answer(context, PodStatusOf(*request, reply));
  }
  Unary* ListPodSandbox(Context* context, const v1::ListPodSandboxRequest* request,
                        v1::ListPodSandboxResponse* reply) override {
    for (const auto& pod : PodsMatching(runtime_, request->filter())) *reply->add_items() = PodItem(*pod);
    return Answer(context, absl::OkStatus());
  }
  grpc::ServerWriteReactor<v1::StreamPodSandboxesResponse>* StreamPodSandboxes(
      Context*, const v1::StreamPodSandboxesRequest* request) override {
    return Stream(Chunks<v1::StreamPodSandboxesResponse>(
        PodsMatching(runtime_, request->filter()),
        [](const auto& pod, auto* chunk) { *chunk->add_pod_sandboxes() = PodItem(*pod); }));
  }
  Unary* UpdatePodSandboxResources(Context* context, const v1::UpdatePodSandboxResourcesRequest* request,
                                   v1::UpdatePodSandboxResourcesResponse*) override {
    return Work(context, "UpdatePodSandboxResources", [this, request](const Caller& caller) -> absl::Status {
      BERTH_RETURN_IF_ERROR(Need("pod_sandbox_id", request->pod_sandbox_id()));
      std::optional<cgroupfs::Resources> overhead, resources;
      if (request->has_overhead()) {
        BERTH_ASSIGN_OR_RETURN(overhead, ResourcesFrom(request->overhead()));
      }
      if (request->has_resources()) {
        BERTH_ASSIGN_OR_RETURN(resources, ResourcesFrom(request->resources()));
      }
      return runtime_.UpdatePodResources(request->pod_sandbox_id(), overhead, resources, caller);
    });
  }

  // Containers
  // -----------------------------------------------------------------------------------------------
  Unary* CreateContainer(Context* context, const v1::CreateContainerRequest* request,
                         v1::CreateContainerResponse* reply) override {
    return Work(context, "CreateContainer", [this, request, reply](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("pod_sandbox_id", request->pod_sandbox_id()));
      BERTH_ASSIGN_OR_RETURN(const auto config, ContainerConfigFrom(request->config()));
      BERTH_ASSIGN_OR_RETURN(*reply->mutable_container_id(),
                             runtime_.CreateContainer(request->pod_sandbox_id(), config, caller));
      return absl::OkStatus();
    });
  }
  Unary* StartContainer(Context* context, const v1::StartContainerRequest* request,
                        v1::StartContainerResponse*) override {
    return Work(context, "StartContainer", [this, request](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      return runtime_.StartContainer(request->container_id(), caller);
    });
  }
  Unary* StopContainer(Context* context, const v1::StopContainerRequest* request,
                       v1::StopContainerResponse*) override {
    return Work(context, "StopContainer", [this, request](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      return runtime_.StopContainer(request->container_id(), std::max<std::int64_t>(request->timeout(), 0),
                                    caller);
    });
  }
  Unary* RemoveContainer(Context* context, const v1::RemoveContainerRequest* request,
                         v1::RemoveContainerResponse*) override {
    return Work(context, "RemoveContainer", [this, request](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      return runtime_.RemoveContainer(request->container_id(), caller);
    });
  }
  Unary* ListContainers(Context* context, const v1::ListContainersRequest* request,
                        v1::ListContainersResponse* reply) override {
    for (const auto& container : ContainersMatching(runtime_, request->filter())) {
      *reply->add_containers() = ContainerItem(*container);
    }
    return Answer(context, absl::OkStatus());
  }
  grpc::ServerWriteReactor<v1::StreamContainersResponse>* StreamContainers(
      Context*, const v1::StreamContainersRequest* request) override {
    return Stream(Chunks<v1::StreamContainersResponse>(
        ContainersMatching(runtime_, request->filter()),
        [](const auto& container, auto* chunk) { *chunk->add_containers() = ContainerItem(*container); }));
  }
  Unary* ContainerStatus(Context* context, const v1::ContainerStatusRequest* request,
                         v1::ContainerStatusResponse* reply) override {
    if (!request->verbose()) return Answer(context, ContainerStatusOf(*request, reply));
    return Work(context, "ContainerStatus",
                [this, request, reply](const Caller&) { return ContainerStatusOf(*request, reply); });
  }
  Unary* UpdateContainerResources(Context* context, const v1::UpdateContainerResourcesRequest* request,
                                  v1::UpdateContainerResourcesResponse*) override {
    return Work(context, "UpdateContainerResources", [this, request](const Caller& caller) -> absl::Status {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      BERTH_ASSIGN_OR_RETURN(const auto resources, ResourcesFrom(request->linux()));
      return runtime_.UpdateContainerResources(request->container_id(), resources, caller);
    });
  }
  Unary* ReopenContainerLog(Context* context, const v1::ReopenContainerLogRequest* request,
                            v1::ReopenContainerLogResponse*) override {
    return Work(context, "ReopenContainerLog", [this, request](const Caller& caller) {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      return runtime_.ReopenLog(request->container_id(), caller);
    });
  }
  Unary* ExecSync(Context* context, const v1::ExecSyncRequest* request,
                  v1::ExecSyncResponse* reply) override {
    return Work(context, "ExecSync", [this, request, reply](const Caller& caller) -> absl::Status {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      const std::vector<std::string> command(request->cmd().begin(), request->cmd().end());
      BERTH_ASSIGN_OR_RETURN(auto result,
                             runtime_.ExecSync(request->container_id(), command, request->timeout(), caller));
      reply->set_stdout(std::move(result.out));
      reply->set_stderr(std::move(result.err));
      reply->set_exit_code(result.exit_code);
      return absl::OkStatus();
    });
  }

  Unary* Exec(Context* context, const v1::ExecRequest* request, v1::ExecResponse* reply) override {
    streaming::Ticket ticket = CommandTicket(streaming::Purpose::kExec, *request);
    ticket.command.assign(request->cmd().begin(), request->cmd().end());
    return Answer(context, Url(Need("container_id", request->container_id()), std::move(ticket), reply));
  }
  Unary* Attach(Context* context, const v1::AttachRequest* request, v1::AttachResponse* reply) override {
    return Answer(context, Url(Need("container_id", request->container_id()),
                               CommandTicket(streaming::Purpose::kAttach, *request), reply));
  }
  Unary* PortForward(Context* context, const v1::PortForwardRequest* request,
                     v1::PortForwardResponse* reply) override {
    absl::Status good = Need("pod_sandbox_id", request->pod_sandbox_id());
    streaming::Ticket ticket;
    ticket.purpose = streaming::Purpose::kPortForward;
    ticket.pod_id = request->pod_sandbox_id();
    if (good.ok() && static_cast<std::size_t>(request->port_size()) > streaming::kMaxForwardPorts) {
      good = absl::InvalidArgumentError(absl::StrCat(request->port_size(), " ports; at most ",
                                                     streaming::kMaxForwardPorts, " fit into one session"));
    }
    for (const auto port : request->port()) {
      if (good.ok() && (port < 1 || port > UINT16_MAX))
        good = absl::InvalidArgumentError(absl::StrCat(port, " is no port"));
      ticket.ports.push_back(static_cast<std::uint16_t>(port));
    }
    return Answer(context, Url(good, std::move(ticket), reply));
  }

  // Usage
  // ----------------------------------------------------------------------------------------------------
  Unary* ContainerStats(Context* context, const v1::ContainerStatsRequest* request,
                        v1::ContainerStatsResponse* reply) override {
    return Work(context, "ContainerStats", [this, request, reply](const Caller&) -> absl::Status {
      BERTH_RETURN_IF_ERROR(Need("container_id", request->container_id()));
      BERTH_ASSIGN_OR_RETURN(const auto view, runtime_.Stats(request->container_id()));
      *reply->mutable_stats() = StatsMessage(view);
      return absl::OkStatus();
    });
  }
  Unary* ListContainerStats(Context* context, const v1::ListContainerStatsRequest* request,
                            v1::ListContainerStatsResponse* reply) override {
    return Work(context, "ListContainerStats", [this, request, reply](const Caller&) {
      for (const auto& view : StatsMatching(runtime_, request->filter()))
        *reply->add_stats() = StatsMessage(view);
      return absl::OkStatus();
    });
  }
  grpc::ServerWriteReactor<v1::StreamContainerStatsResponse>* StreamContainerStats(
      Context*, const v1::StreamContainerStatsRequest* request) override {
    auto* writer = new ChunkWriter<v1::StreamContainerStatsResponse>;
    const bool accepted = backend_.workers->Submit([this, writer, filter = request->filter()] {
      writer->Begin(
          Chunks<v1::StreamContainerStatsResponse>(
              StatsMatching(runtime_, filter),
              [](const auto& view, auto* chunk) { *chunk->add_container_stats() = StatsMessage(view); }),
          grpc::Status::OK);
    });
    if (!accepted) writer->Begin({}, {grpc::StatusCode::UNAVAILABLE, "berthd is shutting down"});
    return writer;
  }

  // What later parts bring
  // -----------------------------------------------------------------------------------
  Unary* PodSandboxStats(Context* context, const v1::PodSandboxStatsRequest*,
                         v1::PodSandboxStatsResponse*) override {
    return Later(context, "statistics of pods are not served by this version; those of containers are");
  }
  Unary* ListPodSandboxStats(Context* context, const v1::ListPodSandboxStatsRequest*,
                             v1::ListPodSandboxStatsResponse*) override {
    return Later(context, "statistics of pods are not served by this version; those of containers are");
  }
  grpc::ServerWriteReactor<v1::StreamPodSandboxStatsResponse>* StreamPodSandboxStats(
      Context*, const v1::StreamPodSandboxStatsRequest*) override {
    return LaterStream<v1::StreamPodSandboxStatsResponse>(
        "statistics of pods are not served by this version");
  }
  Unary* ListMetricDescriptors(Context* context, const v1::ListMetricDescriptorsRequest*,
                               v1::ListMetricDescriptorsResponse*) override {
    return Later(context, "metrics are not served by this version");
  }
  Unary* ListPodSandboxMetrics(Context* context, const v1::ListPodSandboxMetricsRequest*,
                               v1::ListPodSandboxMetricsResponse*) override {
    return Later(context, "metrics are not served by this version");
  }
  grpc::ServerWriteReactor<v1::StreamPodSandboxMetricsResponse>* StreamPodSandboxMetrics(
      Context*, const v1::StreamPodSandboxMetricsRequest*) override {
    return LaterStream<v1::StreamPodSandboxMetricsResponse>("metrics are not served by this version");
  }
  grpc::ServerWriteReactor<v1::ContainerEventResponse>* GetContainerEvents(
      Context*, const v1::GetEventsRequest*) override {
    return LaterStream<v1::ContainerEventResponse>(
        "events are not served by this version; the lists are up to date at any time");
  }
  Unary* CheckpointContainer(Context* context, const v1::CheckpointContainerRequest*,
                             v1::CheckpointContainerResponse*) override {
    return Later(context, "berth makes no checkpoints");
  }
  Unary* CheckpointPod(Context* context, const v1::CheckpointPodRequest*,
                       v1::CheckpointPodResponse*) override {
    return Later(context, "berth makes no checkpoints");
  }
  Unary* RestorePod(Context* context, const v1::RestorePodRequest*, v1::RestorePodResponse*) override {
    return Later(context, "berth restores no checkpoints");
  }

 private:
  Unary* Work(Context* context, const char* method, std::function<absl::Status(const Caller&)> work) {
    return RunOnWorker(*backend_.workers, context, method, std::move(work));
  }
  static Unary* Later(Context* context, const char* sentence) {
    return Answer(context, absl::UnimplementedError(sentence));
  }
  template <typename Reply>
  static grpc::ServerWriteReactor<Reply>* Stream(std::vector<Reply> chunks) {
    auto* writer = new ChunkWriter<Reply>;
    writer->Begin(std::move(chunks), grpc::Status::OK);
    return writer;
  }
  template <typename Reply>
  static grpc::ServerWriteReactor<Reply>* LaterStream(const char* sentence) {
    auto* writer = new ChunkWriter<Reply>;
    writer->Begin({}, {grpc::StatusCode::UNIMPLEMENTED, sentence});
    return writer;
  }

  template <typename Request>
  static streaming::Ticket CommandTicket(streaming::Purpose purpose, const Request& request) {
    streaming::Ticket ticket;
    ticket.purpose = purpose;
    ticket.container_id = request.container_id();
    ticket.tty = request.tty();
    ticket.in = request.stdin();
    ticket.out = request.stdout();
    ticket.err = request.stderr();
    return ticket;
  }
  template <typename Reply>
  absl::Status Url(const absl::Status& good, streaming::Ticket ticket, Reply* reply) const {
    BERTH_RETURN_IF_ERROR(good);
    BERTH_ASSIGN_OR_RETURN(*reply->mutable_url(), backend_.streaming->Url(std::move(ticket)));
    return absl::OkStatus();
  }

  absl::Status PodStatusOf(const v1::PodSandboxStatusRequest& request,
                           v1::PodSandboxStatusResponse* reply) const {
    BERTH_RETURN_IF_ERROR(Need("pod_sandbox_id", request.pod_sandbox_id()));
    BERTH_ASSIGN_OR_RETURN(const auto pod, runtime_.FindPod(request.pod_sandbox_id()));
    *reply->mutable_status() = PodStatusMessage(*pod);
    if (!request.verbose()) return absl::OkStatus();
    const auto info = PodInfo(*pod);
    reply->mutable_info()->insert(info.begin(), info.end());
    return absl::OkStatus();
  }

  absl::Status ContainerStatusOf(const v1::ContainerStatusRequest& request,
                                 v1::ContainerStatusResponse* reply) const {
    BERTH_RETURN_IF_ERROR(Need("container_id", request.container_id()));
    BERTH_ASSIGN_OR_RETURN(const auto container, runtime_.FindContainer(request.container_id()));
    *reply->mutable_status() = ContainerStatusMessage(*container, [this](const std::string& image) {
      const auto record = runtime_.options().images->Find(image);
      return record == nullptr || record->repo_digests.empty() ? std::string() : record->repo_digests.front();
    });
    if (!request.verbose()) return absl::OkStatus();
    const auto info = ContainerInfo(runtime_, *container);
    reply->mutable_info()->insert(info.begin(), info.end());
    return absl::OkStatus();
  }

  const Backend backend_;
  runtime::Runtime& runtime_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeRuntimeService(const Backend& backend) {
  return std::make_unique<RuntimeService>(backend);
}

}  // namespace berth::cri
