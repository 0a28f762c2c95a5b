// SPDX-License-Identifier: Apache-2.0
// The life of a container: create, start, stop, remove, list, status.
#include <gmock/gmock.h>
#include <signal.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

std::vector<std::string> Listed(const std::function<void(cri::ContainerFilter*)>& edit) {
  cri::ListContainersRequest request;
  edit(request.mutable_filter());
  std::vector<std::string> ids;
  const cri::ListContainersResponse reply = Must(Cri().ListContainers(request));
  for (const cri::Container& container : reply.containers()) ids.push_back(container.id());
  return ids;
}

int64_t WallClockNs() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

TEST(Container, GoesFromCreatedToRunningToExited) {
  const Pod pod;
  cri::ContainerConfig config = Server();
  config.mutable_metadata()->set_attempt(4);
  (*config.mutable_annotations())["io.kubernetes.container.hash"] = "abc123";
  const int64_t before = WallClockNs();
  const Container container(pod, config);
  cri::ContainerStatus status = container.Status();
  EXPECT_EQ(status.state(), cri::CONTAINER_CREATED);
  EXPECT_GE(status.created_at(), before);
  EXPECT_THAT(container.Pids(), testing::IsEmpty()) << "a created container has no process in berth";
  container.Start();
  status = container.Status();
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  EXPECT_GE(status.started_at(), status.created_at());
  container.WaitLine("ready");
  container.Stop(10);
  status = container.Status();
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 0);
  EXPECT_EQ(status.reason(), "Completed");
  EXPECT_GE(status.finished_at(), status.started_at());
  EXPECT_LE(status.finished_at(), WallClockNs());
  EXPECT_EQ(status.metadata().attempt(), 4U);
  EXPECT_EQ(status.metadata().name(), config.metadata().name());
  EXPECT_EQ(status.annotations().at("io.kubernetes.container.hash"), "abc123");
  EXPECT_EQ(status.log_path(), container.log_path());
}

TEST(Container, NamesItsImageAsKubeletAskedAndByItsId) {
  const Pod pod;
  const Container container(pod, Server());
  const cri::ContainerStatus status = container.Status();
  EXPECT_FALSE(status.image().image().empty());
  EXPECT_THAT(status.image_ref(), testing::HasSubstr("sha256:"));
  if (OwnDaemon()) {
    EXPECT_EQ(status.image().image(), Registry::Name("busybox:1"));
    EXPECT_EQ(status.image_id(), Environment::Get().ImageId("busybox"));  // a field that older peers lack
  }
  cri::ListContainersRequest request;
  request.mutable_filter()->set_id(container.id());
  const cri::Container listed = Must(Cri().ListContainers(request)).containers(0);
  EXPECT_EQ(listed.pod_sandbox_id(), pod.id());
  if (OwnDaemon()) {
    EXPECT_EQ(listed.image_id(), status.image_id());
  }
  EXPECT_TRUE(listed.has_metadata());
  EXPECT_TRUE(listed.has_image());
}

TEST(Container, IsFoundByEveryFilter) {
  const Pod pod, other;
  const Container container = Container::Run(pod, Server());
  const Container created(pod, Server());
  EXPECT_THAT(Listed([&](auto* f) { f->set_id(container.id()); }), ElementsAre(container.id()));
  EXPECT_THAT(Listed([&](auto* f) { f->set_pod_sandbox_id(pod.id()); }),
              testing::UnorderedElementsAre(container.id(), created.id()));
  EXPECT_THAT(Listed([&](auto* f) { f->set_pod_sandbox_id(other.id()); }), testing::IsEmpty());
  EXPECT_THAT(Listed([&](auto* f) { f->mutable_state()->set_state(cri::CONTAINER_RUNNING); }),
              Contains(container.id()));
  EXPECT_THAT(Listed([&](auto* f) { f->mutable_state()->set_state(cri::CONTAINER_RUNNING); }),
              Not(Contains(created.id())));
  EXPECT_THAT(Listed([&](auto* f) {
                (*f->mutable_label_selector())["io.kubernetes.container.name"] =
                    container.config().metadata().name();
              }),
              ElementsAre(container.id()));
}

TEST(Container, ExitCodesArriveAsTheyWere) {
  const Pod pod;
  for (const int code : {0, 1, 7, 42, 126, 127, 128, 137, 143, 255}) {
    const Container container = Container::Run(pod, Faults({"exit", std::to_string(code)}));
    const cri::ContainerStatus status = container.WaitExit();
    EXPECT_EQ(status.exit_code(), code);
    EXPECT_EQ(status.reason(), code == 0 ? "Completed" : "Error");
    EXPECT_GE(status.finished_at(), status.started_at());
    EXPECT_GT(status.started_at(), 0);
  }
}

TEST(Container, ADeathBySignalIs128PlusItsNumber) {
  const Pod pod;
  const Container crash = Container::Run(pod, Faults({"segv"}));
  EXPECT_EQ(crash.WaitExit().exit_code(), 139);
  const Container victim = Container::Run(pod, Faults({"ignore"}));
  victim.WaitLine("ready");
  ::kill(victim.Pid(), SIGKILL);
  const cri::ContainerStatus status = victim.WaitExit();
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
}

TEST(Container, RemoveIsRepeatableForgetsItAndLeavesTheLog) {
  const Pod pod;
  Container container = Container::Run(pod, Shell("echo bye"));
  container.WaitExit();
  const std::string id = container.id();
  container.Remove();
  Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(id)));
  EXPECT_THAT(Listed([&](auto* f) { f->set_pod_sandbox_id(pod.id()); }), testing::IsEmpty());
  EXPECT_THAT(container.Text(), testing::HasSubstr("bye")) << "log files are kubelet's to delete";
  const auto gone = Cri().ContainerStatus(WithContainer<cri::ContainerStatusRequest>(id));
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kNotFound) << gone.status();
}

TEST(Container, RemoveKillsWhatStillRuns) {
  const Pod pod;
  Container container = Container::Run(pod, Faults({"ignore"}));
  container.Remove();
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
}

TEST(Container, StopOfAnythingThatDoesNotRunSucceeds) {
  const Pod pod;
  const Container created(pod, Server());
  created.Stop(1);
  const Container ended = Container::Run(pod, Faults({"exit", "0"}));
  ended.WaitExit();
  ended.Stop(1);
  EXPECT_EQ(ended.Status().exit_code(), 0);
  cri::StopContainerRequest unknown;
  unknown.set_container_id("0123456789abcdef");
  Must(Cri().StopContainer(unknown));
  Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>("0123456789abcdef")));
}

TEST(Container, ASecondStartIsRefused) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(container.id())).ok());
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
  container.Stop(5);
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(container.id())).ok());
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_EXITED);
}

TEST(Container, ASecondOneWithTheSameMetadataIsRefusedAndTheNameIsFreeAfterRemove) {
  const Pod pod;
  Container container(pod, Server());
  EXPECT_FALSE(Cri().CreateContainer(CreateRequest(pod, container.config())).ok());
  cri::ContainerConfig next = container.config();
  next.mutable_metadata()->set_attempt(1);
  const Container second(pod, next);
  const cri::ContainerConfig config = container.config();
  container.Remove();
  const Container again(pod, config);
  EXPECT_EQ(again.Status().state(), cri::CONTAINER_CREATED);
}

TEST(Container, CreatedAtGrowsWithEachAttempt) {
  const Pod pod;
  int64_t last = 0;
  for (uint32_t attempt = 0; attempt < 5; ++attempt) {
    cri::ContainerConfig config = Server();
    config.mutable_metadata()->set_name("same");
    config.mutable_metadata()->set_attempt(attempt);
    Container container(pod, config);
    EXPECT_GT(container.Status().created_at(), last);
    last = container.Status().created_at();
  }
}

TEST(Container, RootFilesystemIsMadeAnewFromTheImage) {
  const Pod pod;
  {
    const Container container = Container::Run(pod, Server());
    container.Sh("rm -rf /usr/bin/vi /etc/group; echo broken > /etc/passwd; echo new > /new");
  }
  const Container fresh = Container::Run(pod, Server());
  EXPECT_EQ(fresh.Sh("grep -c tester /etc/passwd; test -e /usr/bin/vi && test ! -e /new && echo clean"),
            "1\nclean");
}

TEST(Container, ReplacingAnotherInTheSamePodSeesTheSameNetwork) {
  const Pod pod;
  const std::string address = OutputOf(pod, Shell("ip -4 -o addr show dev eth0 | awk '{print $4}'"));
  EXPECT_EQ(address, OutputOf(pod, Shell("ip -4 -o addr show dev eth0 | awk '{print $4}'")));
  EXPECT_EQ(address.substr(0, address.find('/')), pod.Ip());
}

}  // namespace
}  // namespace berth::e2e
