// SPDX-License-Identifier: Apache-2.0
// Pods with a user namespace of their own (hostUsers: false).
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/harness/volumes.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;

cri::PodSandboxConfig UserPod() {
  cri::PodSandboxConfig config = PodConfig();
  GiveUserNamespace(&config);
  return config;
}

cri::ContainerConfig As(cri::ContainerConfig config, cri::NamespaceMode pid) {
  Security(&config)->mutable_namespace_options()->set_pid(pid);
  return config;
}

uid_t OwnerOf(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_uid : static_cast<uid_t>(-1);
}

class UserNamespaces : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
    if (const std::string why = WhyNoUserNamespaces(); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_F(UserNamespaces, RootInsideIsNobodyOnTheNode) {
  const Pod pod(UserPod());
  const cri::UserNamespace echoed = pod.Status().linux().namespaces().options().userns_options();
  EXPECT_EQ(echoed.mode(), cri::POD);
  const Container container = Container::Run(pod, Server());
  EXPECT_THAT(container.Sh("cat /proc/self/uid_map"), testing::ContainsRegex("0 +1000000 +65536"));
  EXPECT_THAT(container.Sh("cat /proc/self/gid_map"), testing::ContainsRegex("0 +1000000 +65536"));
  EXPECT_EQ(container.Sh("id -u"), "0");
  EXPECT_EQ(OwnerOf("/proc/" + std::to_string(container.Pid())), kFirstId);
  EXPECT_EQ(container.Status().user().linux().uid(), 0);
}

TEST_F(UserNamespaces, FilesOfTheImageAndNewOnesBelongToIt) {
  const Pod pod(UserPod());
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(container.Sh("stat -c '%u:%g' / /etc/passwd /bin | sort -u"), "0:0");
  EXPECT_EQ(container.Sh("touch /new && chown 33:44 /new && stat -c '%u:%g' /new"), "33:44");
  EXPECT_EQ(OwnerOf("/proc/" + std::to_string(container.Pid()) + "/root/new"), kFirstId + 33);
  EXPECT_EQ(container.Sh("stat -c '%u' /etc/hosts /etc/hostname /etc/resolv.conf | sort -u"), "0");
}

TEST_F(UserNamespaces, OtherUsersRunToo) {
  const Pod pod(UserPod());
  cri::ContainerConfig config = Shell("id -u; id -g");
  Security(&config)->mutable_run_as_user()->set_value(1000);
  Security(&config)->mutable_run_as_group()->set_value(3000);
  EXPECT_EQ(OutputOf(pod, config), "1000\n3000");
}

TEST_F(UserNamespaces, TheNetworkIsTheirsToAdministrate) {
  cri::PodSandboxConfig config = UserPod();
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_local_port_range"] = "20000 30000";
  (*config.mutable_linux()->mutable_sysctls())["kernel.shm_rmid_forced"] = "1";
  const Pod pod(config);
  EXPECT_NE(pod.Ip(), "");
  cri::ContainerConfig admin = Server();
  Security(&admin)->mutable_capabilities()->add_add_capabilities("NET_ADMIN");
  const Container container = Container::Run(pod, admin);
  EXPECT_EQ(container.Sh("cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced"),
            "20000\t30000\n1");
  EXPECT_EQ(container.Sh("ip addr add 192.0.2.7/32 dev lo && ip -o addr show dev lo | grep -c 192.0.2.7"),
            "1");
  EXPECT_EQ(
      container.Sh("echo 40 > /proc/sys/net/ipv4/ip_default_ttl && cat /proc/sys/net/ipv4/ip_default_ttl"),
      "40");
  EXPECT_THAT(container.Sh("ls /sys/class/net"), HasSubstr("eth0"));
}

TEST_F(UserNamespaces, SharedMemoryAndMessageQueuesArePerPod) {
  const Pod pod(UserPod());
  const Container one = Container::Run(pod, Server()), two = Container::Run(pod, Server());
  one.Sh("echo shared > /dev/shm/file");
  EXPECT_EQ(two.Sh("cat /dev/shm/file; stat -c '%u' /dev/shm"), "shared\n0");
  one.Sh("touch /dev/mqueue/queue");
  EXPECT_EQ(two.Sh("ls /dev/mqueue"), "queue");
}

TEST_F(UserNamespaces, VolumesKeepTheirOwnersAndAreNotLeftMounted) {
  const std::string host = Environment::Get().dir() + "/userns-volume";
  MakeDirs(host);
  WriteFile(host + "/of-1234", "x\n");
  ASSERT_EQ(::chown((host + "/of-1234").c_str(), 1234, 1234), 0);
  const Pod pod(UserPod());
  cri::ContainerConfig config =
      Shell("stat -c '%u' /data /data/of-1234 /one; echo y > /data/new; cat /one; echo up; sleep 1000");
  AddMapped(&config, host, "/data");
  AddMapped(&config, host + "/of-1234", "/one");
  const Container container = Container::Run(pod, config);
  container.WaitLine("up");
  EXPECT_THAT(container.Output(), testing::ElementsAre("0", "1234", "1234", "x", "up"));
  EXPECT_EQ(OwnerOf(host + "/new"), 0U);
  EXPECT_EQ(ReadFile("/proc/self/mountinfo").find("/mapped/"), std::string::npos)
      << "a volume would stay in use on the node";
}

TEST_F(UserNamespaces, VolumesOfTheImageBelongToItsUsers) {
  const Pod pod(UserPod());
  const Container container = Container::Run(pod, Command({"sh", "-c", "sleep 1000"}, "volume"));
  EXPECT_EQ(container.Sh("stat -c '%u:%g %a' /data/volume /data/volume/seed; touch /not/in/image/new && "
                         "stat -c '%u:%g' /not/in/image/new"),
            "1000:2001 750\n1000:2001 640\n0:0");
  const std::string seen = "/proc/" + std::to_string(container.Pid()) + "/root";
  EXPECT_EQ(OwnerOf(seen + "/data/volume/seed"), kFirstId + 1000);
  EXPECT_EQ(OwnerOf(seen + "/not/in/image/new"), kFirstId);
}

TEST_F(UserNamespaces, AReadonlyVolumeIsOne) {
  const std::string host = Environment::Get().dir() + "/userns-readonly";
  MakeDirs(host);
  const Pod pod(UserPod());
  cri::ContainerConfig config = Shell("touch /data/x 2>/dev/null || echo refused");
  AddMapped(&config, host, "/data")->set_readonly(true);
  EXPECT_EQ(OutputOf(pod, config), "refused");
}

TEST_F(UserNamespaces, AFileSystemThatCannotMapIsNamed) {
  const Pod pod(UserPod());
  cri::ContainerConfig config = Server();
  AddMapped(&config, "/proc", "/data");
  const auto created = Cri().CreateContainer(CreateRequest(pod, config));
  const absl::Status status =
      !created.ok()
          ? created.status()
          : Cri().StartContainer(WithContainer<cri::StartContainerRequest>(created->container_id())).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("/data"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("hostUsers"));
}

TEST_F(UserNamespaces, AnotherMappingThanThePodsIsRefused) {
  const Pod pod(UserPod());
  cri::ContainerConfig config = Server();
  AddMapped(&config, Environment::Get().dir(), "/data", kFirstId + 1);
  EXPECT_EQ(Cri().CreateContainer(CreateRequest(pod, config)).status().code(),
            absl::StatusCode::kInvalidArgument);
  const Pod plain;
  cri::ContainerConfig mapped = Server();
  AddMapped(&mapped, Environment::Get().dir(), "/data");
  EXPECT_EQ(Cri().CreateContainer(CreateRequest(plain, mapped)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(UserNamespaces, StandardStreamsCanBeOpenedAgain) {
  const Pod pod(UserPod());
  EXPECT_EQ(OutputOf(pod, Shell("echo again > /dev/stdout; echo wrong > /dev/stderr")), "again\nwrong");
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(container.Sh("echo exec > /dev/stdout"), "exec");
}

TEST_F(UserNamespaces, ATerminalWorks) {
  const Pod pod(UserPod());
  cri::ContainerConfig config = Shell("tty; stat -c '%u' $(tty)");
  config.set_tty(true);
  EXPECT_THAT(OutputOf(pod, config), HasSubstr("/dev/"));
}

TEST_F(UserNamespaces, ASharedPidNamespaceAndTheDeathOfItsHolder) {
  cri::PodSandboxConfig config = UserPod();
  Namespaces(&config)->set_pid(cri::POD);
  const Pod pod(config);
  const Container one = Container::Run(pod, As(Server(), cri::POD));
  const Container two = Container::Run(pod, As(Server(), cri::POD));
  EXPECT_EQ(one.Sh("ps -o pid,comm | grep -c '^ *1 berth-holder'"), "1");
  // The holder is the parent of nobody and PID 1 of theirs: found by the namespace that it shares with them.
  char wanted[64] = {}, found[64] = {};
  const std::string one_ns = "/proc/" + std::to_string(one.Pid()) + "/ns/pid";
  ASSERT_GT(::readlink(one_ns.c_str(), wanted, sizeof wanted - 1), 0);
  pid_t holder = 0;
  for (pid_t pid = 1; pid < 4194304 && holder == 0; ++pid) {
    const std::string proc = "/proc/" + std::to_string(pid);
    if (::access(proc.c_str(), F_OK) != 0) continue;
    const ssize_t size = ::readlink((proc + "/ns/pid").c_str(), found, sizeof found - 1);
    if (size <= 0 || std::string(found, static_cast<size_t>(size)) != wanted) continue;
    if (TryReadFile(proc + "/cmdline").value_or("").rfind("berth-holder", 0) == 0) holder = pid;
  }
  ASSERT_NE(holder, 0);
  EXPECT_EQ(OwnerOf("/proc/" + std::to_string(holder)), kFirstId) << "in the pod's user namespace";
  ::kill(holder, SIGKILL);
  for (const Container* victim : {&one, &two}) {
    const cri::ContainerStatus status = victim->WaitExit();
    EXPECT_EQ(status.exit_code(), 137);
    EXPECT_EQ(status.reason(), "Error");
    EXPECT_THAT(status.message(), HasSubstr("PID namespace")) << status.message();
  }
  WaitFor("the pod to be not ready", [&] { return pod.Status().state() == cri::SANDBOX_NOTREADY; });
}

TEST_F(UserNamespaces, TheHostsNetworkGoesWithIt) {
  cri::PodSandboxConfig config = UserPod();
  Namespaces(&config)->set_network(cri::NODE);
  config.clear_hostname();
  const Pod pod(config);
  const Container container = Container::Run(pod, Server());
  EXPECT_EQ(container.Sh("test -d /sys/class/net/lo && id -u"), "0");
}

TEST_F(UserNamespaces, TheHostsPidsDoNot) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = UserPod();
  Namespaces(request.mutable_config())->set_pid(cri::NODE);
  EXPECT_EQ(Cri().RunPodSandbox(request).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::e2e
