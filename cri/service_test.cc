// SPDX-License-Identifier: Apache-2.0
// The services over a real unix socket, above a runtime that does what the test says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/status.h"
#include "cri/service_fixture.h"

namespace berth::cri {
namespace {

using testing::HasSubstr;

class OneWorkerTest : public ServiceTest {
 protected:
  OneWorkerTest() : ServiceTest(1) {}
};

TEST_F(ServiceTest, VersionIsWhatKubeletDemands) {
  grpc::ClientContext context;
  v1::VersionResponse reply;
  ASSERT_TRUE(cri_->Version(&context, {}, &reply).ok());
  EXPECT_EQ(reply.version(), "0.1.0");
  EXPECT_EQ(reply.runtime_name(), "berth");
  EXPECT_EQ(reply.runtime_version(), BERTH_VERSION);
  EXPECT_EQ(reply.runtime_api_version(), "v1");
}

TEST_F(ServiceTest, StatusTellsWhyItIsNotReady) {
  runtime_.not_ready = "no OCI runtime works on this node";
  network_.now = {false, "NetworkPluginNotReady", "no conflist in '/x'"};
  grpc::ClientContext context;
  v1::StatusResponse reply;
  ASSERT_TRUE(cri_->Status(&context, {}, &reply).ok());
  ASSERT_GE(reply.status().conditions_size(), 2);
  EXPECT_EQ(reply.status().conditions(0).type(), "RuntimeReady");
  EXPECT_FALSE(reply.status().conditions(0).status());
  EXPECT_EQ(reply.status().conditions(0).message(), "no OCI runtime works on this node");
  EXPECT_EQ(reply.status().conditions(1).type(), "NetworkReady");
  EXPECT_EQ(reply.status().conditions(1).reason(), "NetworkPluginNotReady");
  EXPECT_TRUE(reply.info().empty());
}

TEST_F(ServiceTest, TheConfiguredCgroupDriverIsNeverTheZeroOfTheEnum) {
  grpc::ClientContext context;
  v1::RuntimeConfigResponse reply;
  ASSERT_TRUE(cri_->RuntimeConfig(&context, {}, &reply).ok());
  EXPECT_EQ(reply.linux().cgroup_driver(), v1::CGROUPFS);
}

TEST_F(ServiceTest, APodCidrReachesTheNetworkAndAnEmptyOneDoesNot) {
  v1::UpdateRuntimeConfigRequest request;
  v1::UpdateRuntimeConfigResponse reply;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(cri_->UpdateRuntimeConfig(&context, request, &reply).ok());
    EXPECT_EQ(network_.cidr, "");
  }
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.1.0.0/24");
  grpc::ClientContext context;
  ASSERT_TRUE(cri_->UpdateRuntimeConfig(&context, request, &reply).ok());
  EXPECT_EQ(network_.cidr, "10.1.0.0/24");
}

TEST_F(ServiceTest, AClientThatCancelsIsNoticedByTheWork) {
  Event begun, noticed;
  runtime_.on_run_pod = [&](const auto&, const auto&,
                            const runtime::Caller& caller) -> absl::StatusOr<std::string> {
    caller.cancellation->Subscribe([&] { noticed.Set(); });
    begun.Set();
    return noticed.Wait() ? absl::CancelledError("stage 'network ADD'") : absl::InternalError("never told");
  };
  grpc::ClientContext context;
  std::thread canceller([&] {
    EXPECT_TRUE(begun.Wait());
    context.TryCancel();
  });
  v1::RunPodSandboxResponse reply;
  EXPECT_EQ(cri_->RunPodSandbox(&context, RunRequest(), &reply).error_code(), grpc::StatusCode::CANCELLED);
  canceller.join();
  EXPECT_TRUE(noticed.Wait());
  workers_.Stop();  // the client had its answer before the work ended: it may still look at the events
}

TEST_F(ServiceTest, TheClientsDeadlineIsTheWorksDeadline) {
  std::int64_t left_ns = 0;
  Event noticed;
  runtime_.on_run_pod = [&](const auto&, const auto&,
                            const runtime::Caller& caller) -> absl::StatusOr<std::string> {
    left_ns = caller.deadline.at_ns() - base::MonotonicNs();
    caller.cancellation->Subscribe([&] { noticed.Set(); });
    noticed.Wait();
    return absl::DeadlineExceededError("too late to be heard");
  };
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(700));
  v1::RunPodSandboxResponse reply;
  EXPECT_EQ(cri_->RunPodSandbox(&context, RunRequest(), &reply).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(noticed.Wait()) << "a passed deadline cancels as well";
  workers_.Stop();
  EXPECT_GT(left_ns, 0);
  EXPECT_LE(left_ns, 800 * base::kMillisecondNs);  // it travels rounded up
}

TEST_F(ServiceTest, ACallWithoutADeadlineHasNone) {
  bool never = false;
  runtime_.on_exec = [&](const runtime::Caller& caller) -> absl::StatusOr<runtime::ExecResult> {
    never = caller.deadline.never();
    return runtime::ExecResult{"out", "err", 7};
  };
  grpc::ClientContext context;
  v1::ExecSyncRequest request;
  request.set_container_id("c");
  v1::ExecSyncResponse reply;
  ASSERT_TRUE(cri_->ExecSync(&context, request, &reply).ok());
  EXPECT_TRUE(never);
  EXPECT_EQ(reply.stdout(), "out");
  EXPECT_EQ(reply.stderr(), "err");
  EXPECT_EQ(reply.exit_code(), 7);
}

TEST_F(ServiceTest, OutputUpToTheCapFitsIntoAMessage) {
  constexpr std::size_t kCap = (16 << 20) - (64 << 10);
  runtime_.on_exec = [&](const runtime::Caller&) -> absl::StatusOr<runtime::ExecResult> {
    return runtime::ExecResult{std::string(kCap, 'x'), "", 0};
  };
  grpc::ClientContext context;
  v1::ExecSyncRequest request;
  request.set_container_id("c");
  v1::ExecSyncResponse reply;
  ASSERT_TRUE(cri_->ExecSync(&context, request, &reply).ok());
  EXPECT_EQ(reply.stdout().size(), kCap);
}

TEST_F(ServiceTest, CallsForTheSamePodMeetInTheRuntime) {
  // Joining is the runtime's affair: here nothing may make the retry wait for the first call.
  std::atomic<int> inside = 0;
  Event both;
  runtime_.on_run_pod = [&](const auto&, const auto&, const auto&) -> absl::StatusOr<std::string> {
    if (++inside == 2) both.Set();
    return both.Wait() ? absl::StatusOr<std::string>("p0") : absl::InternalError("alone");
  };
  const auto call = [&] {
    grpc::ClientContext context;
    v1::RunPodSandboxResponse reply;
    EXPECT_TRUE(cri_->RunPodSandbox(&context, RunRequest(), &reply).ok());
    EXPECT_EQ(reply.pod_sandbox_id(), "p0");
  };
  std::thread first(call), second(call);
  first.join();
  second.join();
}

TEST_F(OneWorkerTest, LookUpsDoNotWaitForWork) {
  Show(1);
  Event release, begun;
  runtime_.on_stop = [&](const auto&, auto) {
    begun.Set();
    release.Wait();
    return absl::OkStatus();
  };
  std::thread stopper([&] {
    grpc::ClientContext context;
    v1::StopContainerRequest request;
    request.set_container_id("c0");
    v1::StopContainerResponse reply;
    EXPECT_TRUE(cri_->StopContainer(&context, request, &reply).ok());
  });
  ASSERT_TRUE(begun.Wait());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(10));
  v1::ListContainersResponse reply;
  EXPECT_TRUE(cri_->ListContainers(&context, {}, &reply).ok());
  EXPECT_EQ(reply.containers_size(), 1);
  release.Set();
  stopper.join();
}

TEST_F(OneWorkerTest, WorkWhoseClientLeftIsNotBegun) {
  Event release, begun, queue_done;
  std::atomic<int> runs = 0;
  runtime_.on_stop = [&](const std::string& id, auto) {
    ++runs;
    if (id == "first") {
      begun.Set();
      release.Wait();
    }
    return absl::OkStatus();
  };
  const auto stop = [&](grpc::ClientContext* context, const std::string& id) {
    v1::StopContainerRequest request;
    request.set_container_id(id);
    v1::StopContainerResponse reply;
    return cri_->StopContainer(context, request, &reply).error_code();
  };
  grpc::ClientContext first_context, second_context;
  std::thread first([&] { EXPECT_EQ(stop(&first_context, "first"), grpc::StatusCode::OK); });
  ASSERT_TRUE(begun.Wait());
  second_context.set_deadline(std::chrono::system_clock::now() + milliseconds(500));
  EXPECT_EQ(stop(&second_context, "second"), grpc::StatusCode::DEADLINE_EXCEEDED);
  std::this_thread::sleep_for(milliseconds(200));  // the server's side of the deadline: nothing to wait for
  release.Set();
  first.join();
  workers_.Submit([&] { queue_done.Set(); });
  ASSERT_TRUE(queue_done.Wait());
  workers_.Stop();
  EXPECT_EQ(runs, 1);
}

TEST_F(ServiceTest, AStoppingDaemonSaysUnavailable) {
  workers_.Stop();
  grpc::ClientContext context;
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id("p0");
  v1::StopPodSandboxResponse reply;
  const auto status = cri_->StopPodSandbox(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
}

TEST_F(ServiceTest, UnknownIdsAreNotFoundAndEmptyOnesInvalid) {
  v1::ContainerStatusRequest request;
  v1::ContainerStatusResponse reply;
  {
    grpc::ClientContext context;
    EXPECT_EQ(cri_->ContainerStatus(&context, request, &reply).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  request.set_container_id("nope");
  grpc::ClientContext context;
  const auto status = cri_->ContainerStatus(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("'nope'"));
}

TEST_F(ServiceTest, AFailedSystemCallBelowIsInternal) {
  runtime_.on_stop = [](const auto&, auto) { return base::SyscallError(ENOENT, "open '/x'"); };
  grpc::ClientContext context;
  v1::StopContainerRequest request;
  request.set_container_id("c");
  v1::StopContainerResponse reply;
  EXPECT_EQ(cri_->StopContainer(&context, request, &reply).error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(ServiceTest, ANegativeGraceIsNone) {
  std::int64_t grace = 99;
  runtime_.on_stop = [&](const auto&, std::int64_t given) {
    grace = given;
    return absl::OkStatus();
  };
  grpc::ClientContext context;
  v1::StopContainerRequest request;
  request.set_container_id("c");
  request.set_timeout(-5);
  v1::StopContainerResponse reply;
  ASSERT_TRUE(cri_->StopContainer(&context, request, &reply).ok());
  EXPECT_EQ(grace, 0);
}

TEST_F(ServiceTest, TheCpuManagersUpdateTouchesTheCpusetAlone) {
  std::optional<cgroupfs::Resources> seen;
  runtime_.on_update = [&](const auto&, const cgroupfs::Resources& resources) {
    seen = resources;
    return absl::OkStatus();
  };
  grpc::ClientContext context;
  v1::UpdateContainerResourcesRequest request;
  request.set_container_id("c");
  request.mutable_linux()->set_cpuset_cpus("1");
  v1::UpdateContainerResourcesResponse reply;
  ASSERT_TRUE(cri_->UpdateContainerResources(&context, request, &reply).ok());
  EXPECT_EQ(seen->cpuset_cpus, "1");
  EXPECT_EQ(seen->memory_limit_bytes, std::nullopt);
  EXPECT_EQ(seen->cpu_quota_us, std::nullopt);
}

TEST_F(ServiceTest, WhatIsNotServedSaysSoInASentence) {
  grpc::ClientContext context, stream_context;
  v1::CheckpointContainerResponse reply;
  const auto status = cri_->CheckpointContainer(&context, {}, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("checkpoints"));
  v1::ContainerEventResponse event;
  const auto events = cri_->GetContainerEvents(&stream_context, {});
  EXPECT_FALSE(events->Read(&event));
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ServiceTest, StreamedListsComeInChunksAndEmptyOnesWithoutAny) {
  Show(120);
  const auto count = [&](const v1::ContainerFilter& filter) {
    grpc::ClientContext context;
    v1::StreamContainersRequest request;
    *request.mutable_filter() = filter;
    const auto reader = cri_->StreamContainers(&context, request);
    v1::StreamContainersResponse chunk;
    std::vector<int> sizes;
    while (reader->Read(&chunk)) sizes.push_back(chunk.containers_size());
    EXPECT_TRUE(reader->Finish().ok());
    return sizes;
  };
  EXPECT_THAT(count({}), testing::ElementsAre(50, 50, 20));
  v1::ContainerFilter nothing;
  nothing.set_id("x");
  EXPECT_THAT(count(nothing), testing::IsEmpty());
  grpc::ClientContext context;
  const auto stats = cri_->StreamContainerStats(&context, {});
  v1::StreamContainerStatsResponse chunk;
  int total = 0;
  while (stats->Read(&chunk)) total += chunk.container_stats_size();
  EXPECT_TRUE(stats->Finish().ok());
  EXPECT_EQ(total, 120);
}

TEST_F(ServiceTest, AnAbsentImageIsASuccessWithoutAnImage) {
  grpc::ClientContext context;
  v1::ImageStatusRequest request;
  request.mutable_image()->set_image("nothing");
  v1::ImageStatusResponse reply;
  ASSERT_TRUE(image_->ImageStatus(&context, request, &reply).ok());
  EXPECT_FALSE(reply.has_image());
}

TEST_F(ServiceTest, APullThatIsCancelledStops) {
  Event begun;
  std::atomic<bool> stopped = false;
  images_.on_pull = [&](const image::PullRequest& request) -> absl::StatusOr<std::string> {
    begun.Set();
    for (int i = 0; i < 2000 && !request.cancelled(); ++i) std::this_thread::sleep_for(milliseconds(10));
    stopped = request.cancelled();
    return absl::CancelledError("cancelled");
  };
  grpc::ClientContext context;
  std::thread canceller([&] {
    EXPECT_TRUE(begun.Wait());
    context.TryCancel();
  });
  v1::PullImageRequest request;
  request.mutable_image()->set_image("a");
  v1::PullImageResponse reply;
  EXPECT_EQ(image_->PullImage(&context, request, &reply).error_code(), grpc::StatusCode::CANCELLED);
  canceller.join();
  workers_.Stop();
  EXPECT_TRUE(stopped);
}

TEST_F(ServiceTest, AnArchiveArrivesInOrder) {
  std::string seen;
  images_.on_import = [&](const std::string& path,
                          const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    seen = base::ReadFile(path, 64 << 20).value();
    return std::vector<std::string>{"sha256:1"};
  };
  grpc::ClientContext context;
  ops::ImportImageResponse reply;
  const auto writer = operator_->ImportImage(&context, &reply);
  ops::ImportImageRequest part;
  part.mutable_header()->set_archive_name("a.tar");
  ASSERT_TRUE(writer->Write(part));
  std::string sent;
  for (int i = 0; i < 20; ++i) {
    part.set_data(std::string(1 << 18, static_cast<char>('a' + i)));
    sent += part.data();
    ASSERT_TRUE(writer->Write(part));
  }
  writer->WritesDone();
  const auto status = writer->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(seen == sent);
  EXPECT_EQ(reply.images(0).id(), "sha256:1");
}

TEST_F(ServiceTest, AnArchiveWhoseClientLeavesIsNotCommitted) {
  std::atomic<int> commits = 0;
  ASSERT_TRUE(base::MakeDirs(backend_.work_dir).ok());
  images_.on_import = [&](const auto&, const auto&) -> absl::StatusOr<std::vector<std::string>> {
    ++commits;
    return std::vector<std::string>{};
  };
  {
    grpc::ClientContext context;
    ops::ImportImageResponse reply;
    const auto writer = operator_->ImportImage(&context, &reply);
    ops::ImportImageRequest part;
    part.mutable_header()->set_archive_name("a.tar");
    ASSERT_TRUE(writer->Write(part));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  server_->Shutdown(std::chrono::system_clock::now() + seconds(10));
  workers_.Stop();
  EXPECT_EQ(commits, 0);
  EXPECT_THAT(*base::ListDir(dir_.path() + "/imports"), testing::IsEmpty());
}

TEST_F(ServiceTest, TheOperatorLearnsWhoAnswers) {
  grpc::ClientContext context;
  ops::VersionResponse reply;
  ASSERT_TRUE(operator_->Version(&context, {}, &reply).ok());
  EXPECT_EQ(reply.version(), BERTH_VERSION);
  EXPECT_EQ(reply.pid(), ::getpid());
  EXPECT_EQ(reply.monitor_protocol(), 1U);
}

TEST_F(ServiceTest, TheDoctorAnswersOverTheSocket) {
  grpc::ClientContext context;
  ops::DoctorResponse reply;
  ASSERT_TRUE(operator_->Doctor(&context, {}, &reply).ok());
  ASSERT_GT(reply.checks_size(), 5);
  for (const auto& check : reply.checks()) {
    EXPECT_NE(check.status(), ops::DOCTOR_STATUS_UNKNOWN) << check.name();
    EXPECT_FALSE(check.found().empty()) << check.name();
  }
}

}  // namespace
}  // namespace berth::cri
