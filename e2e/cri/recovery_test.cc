// SPDX-License-Identifier: Apache-2.0
// What a new berthd makes of what it finds: everything in place, pins gone, the node rebooted, monitors dead.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

pid_t MonitorOf(const Pod& pod) {
  return std::stoi(ReadFile(Environment::Get().daemon().state() + "/pods/" + pod.id() + "/monitor.pid"));
}

// Gone, and reaped by us: orphans come to the suite.
void WaitReaped(pid_t pid) {
  WaitFor("process " + std::to_string(pid) + " to be reaped", [&] {
    Descendants();
    return ::kill(pid, 0) != 0;
  });
}

bool IsZombie(pid_t pid) {
  const std::string stat = TryReadFile("/proc/" + std::to_string(pid) + "/stat").value_or("");
  const size_t bracket = stat.rfind(')');
  return bracket != std::string::npos && stat.compare(bracket, 4, ") Z ") == 0;
}

class Recovery : public testing::Test {
 protected:
  void SetUp() override { BERTH_NEEDS_OWN_DAEMON(); }
  Daemon& daemon() { return Environment::Get().daemon(); }

  // Every message that tells of these, whole, as bytes and for people.
  static std::vector<std::string> Look(const std::vector<const Pod*>& pods,
                                       const std::vector<const Container*>& containers) {
    std::vector<std::string> texts;
    const auto add = [&](const google::protobuf::Message& message) {
      texts.push_back(message.DebugString());
    };
    for (const Pod* pod : pods) {
      add(Must(Cri().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(pod->id()))));
      cri::ListPodSandboxRequest list;
      list.mutable_filter()->set_id(pod->id());
      add(Must(Cri().ListPodSandbox(list)));
    }
    for (const Container* container : containers) {
      auto request = WithContainer<cri::ContainerStatusRequest>(container->id());
      add(Must(Cri().ContainerStatus(request)));
      cri::ListContainersRequest list;
      list.mutable_filter()->set_id(container->id());
      add(Must(Cri().ListContainers(list)));
    }
    add(Must(Cri().ListImages({})));
    return texts;
  }
};

TEST_F(Recovery, EveryMessageIsTheSameBeforeAndAfterFieldByField) {
  cri::PodSandboxConfig rich = PodConfig();
  (*rich.mutable_labels())["label"] = "a value";
  (*rich.mutable_annotations())["annotation"] = "with \"quotes\" and\nlines";
  rich.mutable_dns_config()->add_servers("10.0.0.10");
  Namespaces(&rich)->set_pid(cri::POD);
  cri::PodSandboxConfig on_host = PodConfig();
  Namespaces(&on_host)->set_network(cri::NODE);
  const Pod pod(rich), host(on_host), stopped;
  stopped.Stop();
  cri::ContainerConfig full = WithMemory(Server(), 50 * kMiB);
  (*full.mutable_labels())["l"] = "v";
  (*full.mutable_annotations())["a"] = "b";
  full.add_envs()->set_key("KEY");
  full.mutable_envs(0)->set_value("value");
  Resources(&full)->set_cpu_shares(200);
  Resources(&full)->set_cpu_quota(50000);
  Resources(&full)->set_cpu_period(100000);
  Security(&full)->mutable_run_as_user()->set_value(1000);
  const Container running = Container::Run(pod, full), created(pod, Server());
  const Container elsewhere = Container::Run(host, Server());
  const Container ended = Container::Run(pod, Faults({"exit", "9"}));
  const Container failed(pod, Command({"/no/such/program"}));
  EXPECT_FALSE(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(failed.id())).ok());
  const Container killed = Container::Run(pod, Faults({"ignore"}));
  killed.WaitLine("ready");
  killed.Stop(1);
  ended.WaitExit();
  const std::vector<const Pod*> pods = {&pod, &host, &stopped};
  const std::vector<const Container*> containers = {&running, &created, &elsewhere, &ended, &failed, &killed};
  const std::vector<std::string> before = Look(pods, containers);
  daemon().Restart();
  EXPECT_EQ(Look(pods, containers), before) << "as soon as it serves";
  EXPECT_EQ(running.Sh("echo recovered"), "recovered");  // waits for the pod's recovery
  EXPECT_EQ(elsewhere.Sh("echo recovered"), "recovered");
  EXPECT_EQ(Look(pods, containers), before) << "and when it has looked";
  EXPECT_EQ(daemon().Terminate(), 0);
  daemon().Start();
  EXPECT_EQ(Look(pods, containers), before) << "and after an orderly end";
}

TEST_F(Recovery, OnePodThatCannotBeRecoveredHoldsUpOnlyItself) {
#ifndef BERTH_FAULTS
  GTEST_SKIP() << "needs fault points (-DBERTH_FAULTS=ON)";
#endif
  std::vector<Pod> pods(4);
  std::vector<Container> containers;
  for (const Pod& pod : pods) containers.push_back(Container::Run(pod, Server()));
  daemon().Kill9();
  daemon().config().environment = {"BERTH_FAULT=runtime.recover_pod:hang:2"};
  daemon().Start();
  daemon().config().environment.clear();
  int stuck = 0;
  for (const Container& container : containers) {
    EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING) << "looks wait for nobody";
    auto request = WithContainer<cri::ExecSyncRequest>(container.id());
    request.add_cmd("true");
    const absl::Status status = Cri().ExecSync(request, seconds(3)).status();
    if (status.ok()) continue;
    ++stuck;
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(std::string(status.message()), HasSubstr("recovering pod '"));
  }
  EXPECT_EQ(stuck, 1);
  const Pod another;
  EXPECT_EQ(OutputOf(another, Shell("echo fine")), "fine");
  daemon().Restart();
  for (const Container& container : containers) EXPECT_EQ(container.Sh("echo fine"), "fine");
}

TEST_F(Recovery, APodWhosePinsWereTakenAwayIsNotReadyAndCanBeRemoved) {
  const Pod pod, whole;
  const Container container = Container::Run(pod, Server());
  daemon().Kill9();
  ASSERT_EQ(::umount2((daemon().state() + "/pods/" + pod.id() + "/ns").c_str(), MNT_DETACH), 0);
  daemon().Start();
  WaitFor("the pod to be found not ready", [&] { return pod.Status().state() == cri::SANDBOX_NOTREADY; });
  EXPECT_EQ(whole.Status().state(), cri::SANDBOX_READY);
  const absl::Status refused = Cri().CreateContainer(CreateRequest(pod, Server())).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("namespace is gone"));
  pod.Stop();
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_EXITED);
}

// Everything in memory goes, the disk stays: what a reboot is, as far as one process can play it.
class Reboot {
 public:
  explicit Reboot(Daemon& daemon, const std::vector<pid_t>& processes) : daemon_(daemon) {
    daemon.Kill9();
    for (const pid_t pid : processes) ::kill(pid, SIGKILL);
    for (const pid_t pid : processes) WaitReaped(pid);
    UnmountBelow(daemon.state());
    UnmountBelow(daemon.root());
    for (const std::string& name : ListDir(daemon.state()))
      MustRun({"rm", "-rf", daemon.state() + "/" + name});
    boot_id_ = Environment::Get().dir() + "/boot_id";
    WriteFile(boot_id_, "11111111-2222-3333-4444-555555555555\n");
    // In the suite's own mount namespace: nobody else sees it.
    if (::mount(boot_id_.c_str(), kBootId, nullptr, MS_BIND, nullptr) != 0)
      throw TestError("cannot mount boot_id");
    daemon.Start();
  }
  ~Reboot() {
    ::umount2(kBootId, MNT_DETACH);
    daemon_.Restart();
  }

 private:
  static constexpr char kBootId[] = "/proc/sys/kernel/random/boot_id";
  Daemon& daemon_;
  std::string boot_id_;
};

TEST_F(Recovery, AfterARebootEveryEndIsToldAddressesAreFreeAndRecordsStayUntilRemoved) {
  cri::PodSandboxConfig config = PodConfig();
  Pod pod(config);
  Pod idle;
  const std::string address = pod.Ip();
  const Container running = Container::Run(pod, Server());
  const Container created(pod, Server());
  const Container ended = Container::Run(pod, Faults({"exit", "9"}));
  const cri::ContainerStatus before = ended.WaitExit();
  const auto addresses = [&] {
    std::set<std::string> held;
    for (const std::string& network : ListDir(Environment::Get().ipam_dir())) {
      for (const std::string& name : ListDir(Environment::Get().ipam_dir() + "/" + network))
        held.insert(name);
    }
    return held;
  };
  ASSERT_EQ(addresses().count(address), 1U);
  const std::vector<pid_t> processes = {running.Pid(), MonitorOf(pod), MonitorOf(idle)};
  {
    const Reboot reboot(daemon(), processes);
    EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY);
    EXPECT_EQ(idle.Status().state(), cri::SANDBOX_NOTREADY);
    const cri::ContainerStatus status = running.Status();
    EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
    EXPECT_EQ(status.exit_code(), 137);
    EXPECT_EQ(status.reason(), "Error");
    EXPECT_EQ(status.message(), "node rebooted");
    EXPECT_GE(status.finished_at(), status.started_at());
    EXPECT_EQ(ended.Status().DebugString(), before.DebugString()) << "what was told before stays";
    EXPECT_EQ(created.Status().state(), cri::CONTAINER_CREATED);
    WaitFor("the address to be given back", [&] { return addresses().count(address) == 0; });
    EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY) << "its record is there until it is removed";
    // The way kubelet goes on: the next attempt of the same pod.
    config.mutable_metadata()->set_attempt(1);
    Pod next(config);
    EXPECT_EQ(OutputOf(next, Shell("echo after the reboot")), "after the reboot");
    next.Remove();
    pod.Remove();
    idle.Remove();
  }
}

TEST_F(Recovery, BerthdAndMonitorBothKilledWhileAContainerExits7) {
  for (const bool reaped : {false, true}) {
    const Pod pod;
    const Container container = Container::Run(pod, Faults({"after", "1500", "--", "exit", "7"}));
    const pid_t pid = container.Pid(), monitor = MonitorOf(pod);
    daemon().Kill9();
    ASSERT_EQ(::kill(monitor, SIGKILL), 0);
    WaitFor("the container to end", [&] { return IsZombie(pid); });
    if (reaped) WaitReaped(pid);  // by then nobody can know any more
    daemon().Start();
    const cri::ContainerStatus status = container.WaitExit();
    EXPECT_EQ(status.exit_code(), reaped ? 137 : 7);
    EXPECT_EQ(status.reason(), "Error");
    EXPECT_THAT(status.message(),
                HasSubstr(reaped ? "monitor lost" : "monitor lost; exit status from the kernel"));
    EXPECT_EQ(OutputOf(pod, Shell("echo fine")), "fine") << "by a new monitor";
  }
}

TEST_F(Recovery, AnExitBehindTheBackOfAMonitorThatWasKilledIsStillExact) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"after", "1500", "--", "exit", "7"}));
  const pid_t pid = container.Pid(), monitor = MonitorOf(pod);
  ASSERT_EQ(::kill(daemon().pid(), SIGSTOP), 0);  // it must not kill the container first
  ASSERT_EQ(::kill(monitor, SIGKILL), 0);
  WaitFor("the container to end", [&] { return IsZombie(pid); });
  WaitReaped(pid);
  ASSERT_EQ(::kill(daemon().pid(), SIGCONT), 0);
  const cri::ContainerStatus status = container.WaitExit();
  if (status.exit_code() == 137 && status.message().find("exit status from the kernel") == std::string::npos)
    GTEST_SKIP() << "this kernel tells no exit status by pidfd (6.15 does): " << status.message();
  EXPECT_EQ(status.exit_code(), 7);
  EXPECT_THAT(status.message(), HasSubstr("monitor lost; exit status from the kernel"));
}

TEST_F(Recovery, SigtermDoesNotWaitForALongGrace) {
  const Pod pod;
  const Container container = Container::Run(pod, Faults({"term", "3", "600000"}));  // ten minutes to end
  container.WaitLine("ready");
  std::thread patient([&] {
    cri::StopContainerRequest request;
    request.set_container_id(container.id());
    request.set_timeout(300);
    EXPECT_FALSE(Cri().StopContainer(request).ok());
  });
  WaitFor("the stop signal", [&] { return container.Text().find("signal 15") != std::string::npos; });
  EXPECT_EQ(daemon().Terminate(), 0);
  patient.join();
  daemon().Start();
  EXPECT_EQ(container.Status().state(), cri::CONTAINER_RUNNING) << "nobody killed it before its time";
  container.Stop(1);
  EXPECT_EQ(container.Status().exit_code(), 137);
}

}  // namespace
}  // namespace berth::e2e
