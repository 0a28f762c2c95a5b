// SPDX-License-Identifier: Apache-2.0
// The life of a pod sandbox: run, status, list, stop, remove, and what kubelet relies on when it repeats
// calls.
#include <gmock/gmock.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::Not;

std::vector<std::string> Listed(const std::function<void(cri::PodSandboxFilter*)>& edit = {}) {
  cri::ListPodSandboxRequest request;
  if (edit) edit(request.mutable_filter());
  std::vector<std::string> ids;
  const cri::ListPodSandboxResponse reply = Must(Cri().ListPodSandbox(request));
  for (const cri::PodSandbox& pod : reply.items()) ids.push_back(pod.id());
  return ids;
}

TEST(Sandbox, IsReadyWithItsMetadataLabelsAndAnnotations) {
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_metadata()->set_attempt(3);
  (*config.mutable_annotations())["example.org/any"] = "value\nof two lines";
  const int64_t before = std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  const Pod pod(config);
  const cri::PodSandboxStatus status = pod.Status();
  EXPECT_EQ(status.id(), pod.id());
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  EXPECT_EQ(status.metadata().name(), config.metadata().name());
  EXPECT_EQ(status.metadata().namespace_(), "e2e");
  EXPECT_EQ(status.metadata().uid(), config.metadata().uid());
  EXPECT_EQ(status.metadata().attempt(), 3U);
  EXPECT_GE(status.created_at(), before);
  EXPECT_EQ(status.labels().at("io.kubernetes.pod.name"), config.metadata().name());
  EXPECT_EQ(status.annotations().at("example.org/any"), "value\nof two lines");
}

TEST(Sandbox, HasAnAddressOfEachFamily) {
  const Pod pod;
  const cri::PodSandboxNetworkStatus network = pod.Status().network();
  EXPECT_THAT(network.ip(), testing::StartsWith("10.88."));
  ASSERT_EQ(network.additional_ips_size(), 1);
  EXPECT_THAT(network.additional_ips(0).ip(), testing::StartsWith("fd00:88:"));
}

TEST(Sandbox, AppearsInTheListAtOnceAndByEveryFilter) {
  const Pod pod;
  const Pod other;
  EXPECT_THAT(Listed(), Contains(pod.id()));
  EXPECT_THAT(Listed([&](auto* f) { f->set_id(pod.id()); }), testing::ElementsAre(pod.id()));
  const auto by_uid = [&](cri::PodSandboxFilter* f) {
    (*f->mutable_label_selector())["io.kubernetes.pod.uid"] = pod.config().metadata().uid();
  };
  EXPECT_THAT(Listed(by_uid), testing::ElementsAre(pod.id()));
  EXPECT_THAT(Listed([](auto* f) { f->mutable_state()->set_state(cri::SANDBOX_READY); }), Contains(pod.id()));
  EXPECT_THAT(Listed([](auto* f) { f->mutable_state()->set_state(cri::SANDBOX_NOTREADY); }),
              Not(Contains(pod.id())));
  // Fields are ANDed.
  EXPECT_THAT(Listed([&](auto* f) { by_uid(f), f->set_id(other.id()); }), testing::IsEmpty());
  EXPECT_THAT(Listed([](auto* f) { (*f->mutable_label_selector())["io.kubernetes.pod.uid"] = "none"; }),
              testing::IsEmpty());
}

TEST(Sandbox, StopIsRepeatableKeepsTheRecordAndGivesTheAddressBack) {
  const Pod pod;
  const std::string ip = pod.Ip();
  pod.Stop();
  pod.Stop();
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY);
  EXPECT_THAT(Listed([](auto* f) { f->mutable_state()->set_state(cri::SANDBOX_NOTREADY); }),
              Contains(pod.id()));
  if (OwnDaemon()) {
    EXPECT_FALSE(Exists(Environment::Get().ipam_dir() + "/e2e/" + ip)) << "host-local still holds " << ip;
  }
}

TEST(Sandbox, RemoveIsRepeatableAndForgetsIt) {
  Pod pod;
  const std::string id = pod.id();
  pod.Stop();
  pod.Remove();
  Must(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(id)));
  EXPECT_THAT(Listed(), Not(Contains(id)));
  const auto gone = Cri().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(id));
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kNotFound) << gone.status();
}

TEST(Sandbox, RemoveOfARunningPodTakesItsContainersAlong) {
  Pod pod;
  Container container = Container::Run(pod, Server());
  const std::string id = container.id();
  pod.Remove();
  const auto gone = Cri().ContainerStatus(WithContainer<cri::ContainerStatusRequest>(id));
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kNotFound) << gone.status();
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
}

TEST(Sandbox, StopKillsItsContainersAndTheirRecordsSaySo) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"ignore"}));
  pod.Stop();
  const cri::ContainerStatus status =
      container.Status();  // no waiting: kubelet calls RUNNING here a violation
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GT(status.finished_at(), 0);
}

TEST(Sandbox, StopAndRemoveOfAnUnknownIdSucceed) {
  Must(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>("0123456789abcdef")));
  Must(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>("0123456789abcdef")));
}

TEST(Sandbox, ASecondOneWithTheSameMetadataIsRefused) {
  const Pod pod;
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = pod.config();
  const auto second = Cri().RunPodSandbox(request);
  ASSERT_FALSE(second.ok()) << "a second sandbox: " << second->pod_sandbox_id();
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_READY);
}

TEST(Sandbox, TheNextAttemptRunsBesideTheStoppedOne) {
  const Pod first;
  first.Stop();
  cri::PodSandboxConfig config = first.config();
  config.mutable_metadata()->set_attempt(1);
  const Pod second(config);
  EXPECT_EQ(second.Status().state(), cri::SANDBOX_READY);
  EXPECT_EQ(first.Status().state(), cri::SANDBOX_NOTREADY);
}

TEST(Sandbox, ANameIsFreeAgainAfterRemove) {
  cri::PodSandboxConfig config = PodConfig();
  {
    Pod pod(config);
    pod.Remove();
  }
  const Pod again(config);
  EXPECT_EQ(again.Status().state(), cri::SANDBOX_READY);
}

TEST(Sandbox, ItsProcessesAreNotListedAsContainers) {
  const Pod pod;
  cri::ListContainersRequest request;
  request.mutable_filter()->set_pod_sandbox_id(pod.id());
  EXPECT_EQ(Must(Cri().ListContainers(request)).containers_size(), 0);
}

TEST(Sandbox, RunsWithoutCgroupParentAndWithoutLogDirectory) {
  BERTH_NEEDS_OWN_DAEMON();  // a peer would put it outside of our sub-tree
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_linux()->clear_cgroup_parent();
  config.clear_log_directory();
  const Pod pod(config);
  cri::ContainerConfig server = Server();
  server.clear_log_path();
  const Container container = Container::Run(pod, server);
  EXPECT_EQ(container.Sh("echo here"), "here");
}

TEST(Sandbox, ShortIdsResolveWhenUnambiguous) {
  const Pod pod;
  EXPECT_EQ(Must(Cri().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(pod.id().substr(0, 13))))
                .status()
                .id(),
            pod.id());
}

TEST(Sandbox, VerboseStatusIsJson) {
  const Pod pod;
  auto request = WithPod<cri::PodSandboxStatusRequest>(pod.id());
  request.set_verbose(true);
  const cri::PodSandboxStatusResponse reply = Must(Cri().PodSandboxStatus(request));
  EXPECT_GE(reply.info_size(), 1);
  EXPECT_EQ(Must(Cri().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(pod.id()))).info_size(), 0);
}

TEST(Sandbox, ManyAtOnceAllGetAddressesOfTheirOwn) {
  constexpr int kPods = 8;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::set<std::string> addresses;
  for (int i = 0; i < kPods; ++i) {
    threads.emplace_back([&] {
      try {
        const Pod pod;
        const std::string ip = pod.Ip();
        const std::lock_guard lock(mutex);
        addresses.insert(ip);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(addresses.size(), static_cast<size_t>(kPods));
}

}  // namespace
}  // namespace berth::e2e
