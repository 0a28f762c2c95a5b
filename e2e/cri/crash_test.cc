// SPDX-License-Identifier: Apache-2.0
// kill -9 of the daemon at any moment: containers run on, exits are recorded, logs have no gap, names come
// free.
#include <gmock/gmock.h>
#include <signal.h>
#include <stdio.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

class Crash : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
  Daemon& daemon() { return Environment::Get().daemon(); }
};

TEST_F(Crash, StatusesAreTheSameBeforeAndAfter) {
  const Pod pod, stopped;
  stopped.Stop();
  const Container running = Container::Run(pod, WithMemory(Server(), 50 * kMiB)), created(pod, Server());
  const Container ended = Container::Run(pod, Faults({"exit", "9"}));
  const Container failed(pod, Command({"/no/such/program"}));
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(failed.id())).ok());
  ended.WaitExit();
  const auto look = [&] {
    std::vector<std::string> texts;
    for (const Pod* p : {&pod, &stopped}) texts.push_back(p->Status().DebugString());
    for (const Container* c : {&running, &created, &ended, &failed})
      texts.push_back(c->Status().DebugString());
    texts.push_back(std::to_string(Must(Cri().ListImages({})).images_size()));
    return texts;
  };
  const pid_t pid = running.Pid();
  const std::vector<std::string> before = look();
  daemon().Restart();
  EXPECT_EQ(look(), before);
  EXPECT_EQ(running.Pid(), pid);
}

TEST_F(Crash, EverythingStillWorksOnWhatRanBefore) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"chatter", "100"}));
  const Container server = Container::Run(pod, Faults({"term", "5"}));
  server.WaitLine("ready");
  daemon().Restart();
  EXPECT_EQ(server.Sh("echo exec works"), "exec works");
  EXPECT_GT(Must(Cri().ContainerStats(WithContainer<cri::ContainerStatsRequest>(server.id())))
                .stats()
                .memory()
                .usage_bytes()
                .value(),
            0U);
  ASSERT_EQ(::rename(container.log_path().c_str(), (container.log_path() + ".old").c_str()), 0);
  Must(Cri().ReopenContainerLog(WithContainer<cri::ReopenContainerLogRequest>(container.id())));
  container.WaitLine("line ");
  server.Stop(10);
  EXPECT_EQ(server.Status().exit_code(), 5);
  const Container later = Container::Run(pod, Shell("echo new in an old pod"));
  later.WaitExit();
  EXPECT_THAT(later.Text(), HasSubstr("new in an old pod"));
}

TEST_F(Crash, ExitsWhileItWasDeadAreRight) {
  const Pod pod;
  std::vector<Container> containers;
  for (int code = 0; code < 10; ++code) {
    containers.push_back(Container::Run(pod, Faults({"after", "2500", "--", "exit", std::to_string(code)})));
  }
  const Container victim = Container::Run(pod, Server());
  const pid_t pid = victim.Pid();
  daemon().Kill9();
  ::kill(pid, SIGKILL);
  const auto recorded = [&](const Container& container) {
    return Exists(daemon().root() + "/pods/" + pod.id() + "/containers/" + container.id() + "/exit.json");
  };
  WaitFor("the exit records",
          [&] { return recorded(victim) && std::all_of(containers.begin(), containers.end(), recorded); });
  const int64_t restarted = std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  daemon().Start();
  for (int code = 0; code < 10; ++code) {
    const cri::ContainerStatus status = containers[static_cast<size_t>(code)].Status();
    EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
    EXPECT_EQ(status.exit_code(), code);
    EXPECT_EQ(status.reason(), code == 0 ? "Completed" : "Error");
    EXPECT_LT(status.finished_at(), restarted) << "the time of the exit, not of its discovery";
    EXPECT_GE(status.finished_at(), status.started_at());
  }
  EXPECT_EQ(victim.Status().exit_code(), 137);
  EXPECT_EQ(victim.Status().reason(), "Error");
}

TEST_F(Crash, AChattyContainerNeverStallsAndItsLogHasNoGap) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"chatter", "1000", "200"}));
  const auto more_lines = [&](size_t lines) {
    const size_t wanted = container.Output().size() + lines;
    WaitFor("more lines", [&] { return container.Output().size() >= wanted; });
  };
  for (int i = 0; i < 3; ++i) {
    more_lines(1000);  // a second's
    daemon().Kill9();
    more_lines(2000);
    daemon().Start();
  }
  container.Stop(0);
  long next = 0, longest = 0;
  for (const std::string& line : container.Output()) {
    long number = -1, at = 0, wait = 0;
    ASSERT_EQ(sscanf(line.c_str(), "line %ld at %ld longest %ld", &number, &at, &wait), 3) << line;
    ASSERT_EQ(number, next) << "a gap in the log";
    ++next;
    longest = std::max(longest, wait);
  }
  EXPECT_GT(next, 5000);
  EXPECT_LT(longest, Patient(1000)) << "ms that one write took";
}

TEST_F(Crash, SigtermEndsTheDaemonAndNotThePods) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const pid_t pid = container.Pid();
  EXPECT_EQ(daemon().Terminate(), 0);
  EXPECT_EQ(::kill(pid, 0), 0);
  daemon().Start();
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING);
}

TEST_F(Crash, KilledInTheMiddleOfMakingPodsTheNextAttemptWorks) {
  for (int i = 0; i < 4 + GetOptions().count; ++i) {
    const cri::PodSandboxConfig config = PodConfig();
    MakeDirs(config.log_directory());
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    std::thread runner([&] { static_cast<void>(Cri().RunPodSandbox(request, seconds(2))); });
    std::this_thread::sleep_for(milliseconds(20 + 37 * i));  // whichever step it is at then is the point
    daemon().Kill9();
    runner.join();
    daemon().Start();
    // kubelet's way on: what the list shows is stopped and the next attempt made; what it does not show is
    // made again.
    cri::ListPodSandboxRequest list;
    (*list.mutable_filter()->mutable_label_selector())["io.kubernetes.pod.uid"] = config.metadata().uid();
    const cri::ListPodSandboxResponse shown = Must(Cri().ListPodSandbox(list));
    cri::PodSandboxConfig next = config;
    if (shown.items_size() > 0) next.mutable_metadata()->set_attempt(1);
    for (const cri::PodSandbox& pod : shown.items()) {
      Must(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(pod.id())));
      Must(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(pod.id())));
    }
    const Pod pod(next);
    EXPECT_EQ(OutputOf(pod, Shell("echo fine")), "fine");
  }
}

TEST_F(Crash, KilledInTheMiddleOfContainersTheNextAttemptWorks) {
  const Pod pod;
  for (int i = 0; i < 4 + GetOptions().count; ++i) {
    const cri::ContainerConfig config = Server();
    MakeDirs(pod.config().log_directory() + "/" + config.metadata().name());
    std::thread runner([&] {
      const auto created = Cri().CreateContainer(CreateRequest(pod, config), seconds(2));
      if (created.ok())
        static_cast<void>(Cri().StartContainer(
            WithContainer<cri::StartContainerRequest>(created->container_id()), seconds(2)));
    });
    std::this_thread::sleep_for(milliseconds(5 + 23 * i));  // the same
    daemon().Kill9();
    runner.join();
    daemon().Start();
    cri::ListContainersRequest list;
    list.mutable_filter()->set_pod_sandbox_id(pod.id());
    const cri::ListContainersResponse shown = Must(Cri().ListContainers(list));
    for (const cri::Container& container : shown.containers()) {
      EXPECT_NE(container.state(), cri::CONTAINER_UNKNOWN);
      Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(container.id())));
    }
    const Container container = Container::Run(pod, config);  // the same name and attempt
    EXPECT_EQ(container.Sh("echo fine"), "fine");
  }
}

TEST_F(Crash, AStopUnderWayIsFinishedByTheNextStop) {
  const Pod pod;
  const Container container =
      Container::Run(pod, Shell("trap 'echo asked to stop' TERM; echo ready; while :; do sleep 0.1; done"));
  container.WaitLine("ready");
  std::thread stopper([&] {
    cri::StopContainerRequest request;
    request.set_container_id(container.id());
    request.set_timeout(30);
    static_cast<void>(Cri().StopContainer(request, seconds(4)));
  });
  container.WaitLine("asked to stop");
  daemon().Kill9();
  stopper.join();
  daemon().Start();
  container.Stop(1);
  EXPECT_EQ(container.Status().exit_code(), 137);
}

TEST_F(Crash, ALostMonitorsContainersEndHonestlyAndThePodGoesOn) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  const pid_t monitor = std::stoi(ReadFile(daemon().state() + "/pods/" + pod.id() + "/monitor.pid"));
  ASSERT_EQ(::kill(monitor, SIGKILL), 0);
  WaitFor("the monitor to be reaped", [&] {
    Descendants();  // orphans come to the suite, not to init
    return ::kill(monitor, 0) != 0;
  });
  const cri::ContainerStatus status = container.WaitExit();
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_THAT(status.message(), HasSubstr("monitor lost"));
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
  EXPECT_EQ(OutputOf(pod, Shell("echo fine")), "fine") << "by a new monitor";
}

TEST_F(Crash, SharedPidNamespacesAndHostModesSurviveToo) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::POD);
  const Pod pod(config);
  cri::ContainerConfig server = Server();
  Security(&server)->mutable_namespace_options()->set_pid(cri::POD);
  const Container container = Container::Run(pod, server);
  daemon().Restart();
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_READY);
  cri::ContainerConfig second = Server();
  Security(&second)->mutable_namespace_options()->set_pid(cri::POD);
  const Container joined = Container::Run(pod, second);
  EXPECT_EQ(joined.Sh("pgrep -c faults"), "2");
}

}  // namespace
}  // namespace berth::e2e
