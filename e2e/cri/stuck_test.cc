// SPDX-License-Identifier: Apache-2.0
// Processes, volumes and monitors that hang: who asks is told what is waited for, the rest of the node does
// not notice, and what hangs is stopped and removed as soon as the kernel allows.
#include <gmock/gmock.h>
#include <signal.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/hung_volume.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

absl::Status TryStop(const Container& container, int grace_seconds, milliseconds patience) {
  cri::StopContainerRequest request;
  request.set_container_id(container.id());
  request.set_timeout(grace_seconds);
  return Cri().StopContainer(request, patience).status();
}

// A directory of the freezer for this cgroup: v1's hierarchy, or v2's own.
struct Freezer {
  explicit Freezer(const std::string& cgroup)
      : v1(Exists("/sys/fs/cgroup/freezer" + cgroup)),
        file((v1 ? "/sys/fs/cgroup/freezer" + cgroup + "/freezer.state"
                 : "/sys/fs/cgroup" + cgroup + "/cgroup.freeze")) {}
  void Freeze() const { WriteFile(file, v1 ? "FROZEN" : "1"); }
  void Thaw() const { WriteFile(file, v1 ? "THAWED" : "0"); }
  const bool v1;
  const std::string file;
};

class Stuck : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
  Daemon& daemon() { return Environment::Get().daemon(); }
  pid_t MonitorOf(const Pod& pod) {
    return std::stoi(ReadFile(daemon().state() + "/pods/" + pod.id() + "/monitor.pid"));
  }
  static void OthersDoNotNotice() {
    const Pod another;
    EXPECT_EQ(OutputOf(another, Shell("echo fine")), "fine");
    Must(Cri().ListContainers({}, seconds(5)));
  }
};

TEST_F(Stuck, AFrozenContainerIsStopped) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"ignore"}));
  container.WaitLine("ready");
  const Freezer freezer(container.cgroup());
  if (!Exists(freezer.file)) GTEST_SKIP() << "no freezer here: " << freezer.file;
  freezer.Freeze();
  container.Stop(1);
  EXPECT_EQ(container.Status().exit_code(), 137);
}

TEST_F(Stuck, AFrozenPodIsToldAndStoppedOnceItThaws) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"ignore"}));
  container.WaitLine("ready");
  const Freezer freezer(pod.cgroup());
  if (!Exists(freezer.file)) GTEST_SKIP() << "no freezer here: " << freezer.file;
  if (!freezer.v1) GTEST_SKIP() << "cgroup v2 kills what is frozen";
  freezer.Freeze();
  const absl::Status long_grace = TryStop(container, 600, seconds(2));
  EXPECT_THAT(std::string(long_grace.message()), HasSubstr("in stage 'grace'"));
  // A later and shorter one takes effect, and says what it waits for.
  const absl::Status stuck = TryStop(container, 0, seconds(12));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(stuck.message()), HasSubstr("stopping container '" + container.id() + "'"));
  EXPECT_THAT(std::string(stuck.message()), testing::ContainsRegex("pid [0-9]+ \\(faults\\) in state"));
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
  OthersDoNotNotice();
  freezer.Thaw();
  container.Stop(0);
  EXPECT_EQ(container.Status().exit_code(), 137);
}

TEST_F(Stuck, AProcessInStateDIsToldAndEndsWhenItsVolumeLetsGo) {
  HungVolume volume(Environment::Get().dir() + "/hung-files", HungVolume::Hangs::kFiles);
  Pod pod;
  cri::ContainerConfig config = Shell("echo looking; cat /volume/name");
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path(volume.path());
  mount->set_container_path("/volume");
  const Container container = Container::Run(pod, config);
  container.WaitLine("looking");
  WaitFor("the volume to be asked for a name", [&] { return volume.asked(); });
  // Until a signal comes it sleeps interruptibly; from then on the request has to be answered first.
  const absl::Status stuck = TryStop(container, 0, seconds(4));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(stuck.message()), testing::ContainsRegex("pid [0-9]+ \\(cat\\) in state D"));
  OthersDoNotNotice();
  volume.Release();
  container.Stop(0);
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_EXITED);
  pod.Remove();
}

TEST_F(Stuck, AVolumeThatHangsHoldsOnlyItsOwnContainerAndItsPodCanBeStopped) {
  HungVolume volume(Environment::Get().dir() + "/hung-all", HungVolume::Hangs::kAll);
  Pod pod;
  const Container sibling = Container::Run(pod, Server());
  cri::ContainerConfig config = Server();
  MakeDirs(pod.config().log_directory() + "/" + config.metadata().name());
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path(volume.path());
  mount->set_container_path("/volume");
  const absl::Status created = Cri().CreateContainer(CreateRequest(pod, config), seconds(2)).status();
  EXPECT_EQ(created.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(created.message()), HasSubstr("in stage 'mount source " + volume.path() + "'"));
  EXPECT_THAT(std::string(created.message()), HasSubstr("a retry joins it"));
  OthersDoNotNotice();
  EXPECT_EQ(sibling.Sh("echo fine"), "fine");
  pod.Stop();
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY);
  const absl::Status removed =
      Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod.id()), seconds(2)).status();
  EXPECT_THAT(std::string(removed.message()), HasSubstr("removing pod '" + pod.id() + "'"));
  volume.Release();
  pod.Remove();
}

TEST_F(Stuck, AStoppedMonitorGoesOnWhenItsPodIsStopped) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"ignore"}));
  container.WaitLine("ready");
  ASSERT_EQ(::kill(MonitorOf(pod), SIGSTOP), 0);
  pod.Stop();
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY);
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(container.Status().exit_code(), 137);
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
}

TEST_F(Stuck, AMonitorThatHangsIsEndedWithItsPod) {
#ifndef BERTH_FAULTS
  GTEST_SKIP() << "needs fault points (-DBERTH_FAULTS=ON)";
#endif
  daemon().Kill9();
  daemon().config().environment = {"BERTH_FAULT=monitor.kill:hang"};  // monitors inherit it
  daemon().Start();
  daemon().config().environment.clear();
  {
    const Pod pod;
    const Container container = Container::Run(pod, Faults({"ignore"}));
    container.WaitLine("ready");
    pod.Stop();
    EXPECT_EQ(container.Status().state(), cri::CONTAINER_EXITED);
    EXPECT_EQ(container.Status().exit_code(), 137);
    EXPECT_THAT(container.Status().message(), HasSubstr("monitor lost"));
    EXPECT_THAT(container.Pids(), testing::IsEmpty());
  }
  daemon().Restart();
}

}  // namespace
}  // namespace berth::e2e
