// SPDX-License-Identifier: Apache-2.0
// What the processes of a pod share: network, IPC, PIDs, names, sysctls, /dev/shm.
#include <gmock/gmock.h>
#include <limits.h>
#include <unistd.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

// "net:[4026531840]" of a process.
std::string NamespaceOf(pid_t pid, const std::string& kind) {
  char target[PATH_MAX];
  const ssize_t size =
      ::readlink(("/proc/" + std::to_string(pid) + "/ns/" + kind).c_str(), target, sizeof target);
  return size < 0 ? "" : std::string(target, static_cast<size_t>(size));
}

cri::ContainerConfig In(cri::NamespaceMode pid, cri::ContainerConfig config) {
  Security(&config)->mutable_namespace_options()->set_pid(pid);
  return config;
}

// The container's own namespace options as kubelet sends them: the pod's.
cri::ContainerConfig AsPod(const Pod& pod, cri::ContainerConfig config) {
  *Security(&config)->mutable_namespace_options() =
      pod.config().linux().security_context().namespace_options();
  return config;
}

TEST(Namespaces, TheStatusEchoesTheModesThatKubeletCompares) {
  for (const cri::NamespaceMode network : {cri::POD, cri::NODE}) {
    for (const cri::NamespaceMode pid : {cri::POD, cri::CONTAINER, cri::NODE}) {
      for (const cri::NamespaceMode ipc : {cri::POD, cri::NODE}) {
        cri::PodSandboxConfig config = PodConfig();
        Namespaces(&config)->set_network(network);
        Namespaces(&config)->set_pid(pid);
        Namespaces(&config)->set_ipc(ipc);
        if (network == cri::NODE) config.clear_hostname();
        const Pod pod(config);
        const cri::NamespaceOption options = pod.Status().linux().namespaces().options();
        EXPECT_EQ(options.network(), network);
        EXPECT_EQ(options.pid(), pid);
        EXPECT_EQ(options.ipc(), ipc);
      }
    }
  }
}

TEST(Namespaces, ContainersOfAPodShareNetworkIpcAndUtsButNotPids) {
  const Pod pod;
  const Container one = Container::Run(pod, Server()), two = Container::Run(pod, Server());
  for (const char* kind : {"net", "ipc", "uts"}) {
    EXPECT_EQ(NamespaceOf(one.Pid(), kind), NamespaceOf(two.Pid(), kind)) << kind;
    EXPECT_NE(NamespaceOf(one.Pid(), kind), NamespaceOf(::getpid(), kind)) << kind;
  }
  EXPECT_NE(NamespaceOf(one.Pid(), "pid"), NamespaceOf(two.Pid(), "pid"));
  EXPECT_NE(NamespaceOf(one.Pid(), "mnt"), NamespaceOf(two.Pid(), "mnt"));
}

TEST(Namespaces, HostNetworkIsTheNodesAndTheStatusHasNoAddress) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_network(cri::NODE);
  config.clear_hostname();
  const Pod pod(config);
  const Container container = Container::Run(pod, AsPod(pod, Server()));
  EXPECT_EQ(NamespaceOf(container.Pid(), "net"), NamespaceOf(::getpid(), "net"));
  EXPECT_EQ(pod.Ip(), "");
  char hostname[256] = {};
  ::gethostname(hostname, sizeof hostname - 1);
  EXPECT_EQ(container.Sh("hostname"), hostname);
}

TEST(Namespaces, LoopbackIsUpInBothFamilies) {
  const Pod pod;
  const std::string addresses = OutputOf(pod, Shell("ip -o addr show dev lo; ip -o link show dev lo"));
  EXPECT_THAT(addresses, HasSubstr("127.0.0.1/8"));
  EXPECT_THAT(addresses, HasSubstr("::1/128"));
  EXPECT_THAT(addresses, HasSubstr("UP"));
}

TEST(Namespaces, ASharedPidNamespaceShowsTheOthersProcesses) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::POD);
  const Pod pod(config);
  const Container target = Container::Run(pod, In(cri::POD, Command({"sleep", "98765"})));
  const Container looker = Container::Run(pod, In(cri::POD, Server()));
  EXPECT_NE(looker.Sh("pgrep -f 'sleep 98765'"), "1");
  EXPECT_EQ(NamespaceOf(target.Pid(), "pid"), NamespaceOf(looker.Pid(), "pid"));
}

TEST(Namespaces, TheReaperOfASharedPidNamespaceTakesOrphans) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::POD);
  const Pod pod(config);
  const Container container = Container::Run(pod, In(cri::POD, Server()));
  container.Sh("sh -c '(sleep 0.2) & (sleep 0.2) &'");
  WaitFor("the orphans to be reaped", [&] {
    return container.Sh("ps -o stat,comm | grep -c '^Z' || true") == "0" &&
           container.Exec({"pgrep", "sleep"}).exit_code() == 1;
  });
}

TEST(Namespaces, TheEndOfOneContainerLeavesASharedPidNamespaceAlone) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::POD);
  const Pod pod(config);
  const Container stays = Container::Run(pod, In(cri::POD, Server()));
  const Container leaves = Container::Run(pod, In(cri::POD, Server()));
  leaves.WaitLine("ready");  // no init of its own namespace: before it listens a SIGTERM ends it
  leaves.Stop(5);
  EXPECT_EQ(leaves.Status().exit_code(), 0);
  EXPECT_EQ(stays.Sh("echo still here"), "still here");
}

TEST(Namespaces, HostPidIsTheNodes) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::NODE);
  const Pod pod(config);
  const Container container = Container::Run(pod, In(cri::NODE, Server()));
  EXPECT_EQ(NamespaceOf(container.Pid(), "pid"), NamespaceOf(::getpid(), "pid"));
  EXPECT_EQ(container.Sh("test -d /proc/" + std::to_string(::getpid()) + " && echo visible"), "visible");
}

TEST(Namespaces, StopWithHostPidsKillsEveryProcessOfTheContainer) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_pid(cri::NODE);
  const Pod pod(config);
  const Container container =
      Container::Run(pod, In(cri::NODE, Shell("sleep 4321 & sleep 4321 & echo up; wait")));
  container.WaitLine("up");
  container.Stop(0);
  EXPECT_THAT(container.Pids(), testing::IsEmpty());
}

TEST(Namespaces, ADebugContainerJoinsThePidsOfItsTarget) {
  const Pod pod;
  const Container target = Container::Run(pod, Command({"sleep", "45678"}));
  cri::ContainerConfig config = Server();
  Security(&config)->mutable_namespace_options()->set_pid(cri::TARGET);
  Security(&config)->mutable_namespace_options()->set_target_id(target.id());
  const Container debugger = Container::Run(pod, config);
  EXPECT_EQ(debugger.Sh("pgrep -f 'sleep 45678'"), "1");
}

TEST(Namespaces, IpcIsThePodsAndNotTheNodes) {
  const Pod pod, other;
  const Container one = Container::Run(pod, Faults({"term", "0"})), two = Container::Run(pod, Server());
  const Container elsewhere = Container::Run(other, Server());
  one.Sh("echo shared > /dev/shm/file");
  EXPECT_EQ(two.Sh("cat /dev/shm/file"), "shared");
  EXPECT_EQ(elsewhere.Sh("ls -A /dev/shm"), "");
  EXPECT_THAT(one.Sh("grep ' /dev/shm ' /proc/mounts"), HasSubstr("tmpfs"));
}

TEST(Namespaces, HostIpcIsTheNodes) {
  cri::PodSandboxConfig config = PodConfig();
  Namespaces(&config)->set_ipc(cri::NODE);
  const Pod pod(config);
  const Container container = Container::Run(pod, AsPod(pod, Server()));
  EXPECT_EQ(NamespaceOf(container.Pid(), "ipc"), NamespaceOf(::getpid(), "ipc"));
}

TEST(Namespaces, HostnameIsSetAndWrittenToTheFile) {
  cri::PodSandboxConfig config = PodConfig();
  config.set_hostname("a-name.of-the.pod");
  const Pod pod(config);
  EXPECT_EQ(OutputOf(pod, Shell("hostname; cat /etc/hostname")), "a-name.of-the.pod\na-name.of-the.pod");
}

TEST(Namespaces, DnsIsWrittenAsGiven) {
  cri::PodSandboxConfig config = PodConfig();
  cri::DNSConfig* dns = config.mutable_dns_config();
  dns->add_servers("10.10.10.10"), dns->add_servers("fd00::53");
  dns->add_searches("svc.cluster.local"), dns->add_searches("example.org");
  dns->add_options("ndots:8"), dns->add_options("edns0");
  const Pod pod(config);
  const std::vector<std::string> lines = Lines(OutputOf(pod, Shell("cat /etc/resolv.conf")));
  EXPECT_THAT(lines,
              testing::IsSupersetOf({"nameserver 10.10.10.10", "nameserver fd00::53",
                                     "search svc.cluster.local example.org", "options ndots:8 edns0"}));
}

TEST(Namespaces, WithoutDnsTheHostsResolverIsCopied) {
  const Pod pod;
  EXPECT_EQ(Trim(OutputOf(pod, Shell("cat /etc/resolv.conf"))), Trim(ReadFile("/etc/resolv.conf")));
}

TEST(Namespaces, SysctlsOfThePodAreSetInItsNamespacesOnly) {
  cri::PodSandboxConfig config = PodConfig();
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_local_port_range"] = "20000 30000";
  (*config.mutable_linux()->mutable_sysctls())["kernel.shm_rmid_forced"] = "1";
  const std::string host = ReadFile("/proc/sys/kernel/shm_rmid_forced");
  const Pod pod(config);
  EXPECT_EQ(
      OutputOf(pod, Shell("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_local_port_range")),
      "1\n20000\t30000");
  EXPECT_EQ(ReadFile("/proc/sys/kernel/shm_rmid_forced"), host);
}

TEST(Namespaces, TimeAndUserNamespacesAreTheNodesUnlessAsked) {
  const Pod pod;
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(NamespaceOf(container.Pid(), "user"), NamespaceOf(::getpid(), "user"));
}

}  // namespace
}  // namespace berth::e2e
