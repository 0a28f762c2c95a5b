// SPDX-License-Identifier: Apache-2.0
// Debian's plugins (containernetworking-plugins) in network namespaces of the test's own: one stands for the
// host, so that no bridge, address or rule appears on this machine. The plugins inherit it because a thread's
// children do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/process.h"
#include "network/network.h"
#include "network/test_dir.h"

namespace berth::network {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kPlugins[] = "/usr/lib/cni";

base::Deadline Soon() { return base::Deadline::After(30 * base::kSecondNs); }

// Output of a program run by this thread, in its namespaces.
std::string Output(const std::string& script) {
  base::SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  const auto result = base::RunCommand(options, "", Soon());
  return result.ok() ? result->out + result->err : result.error().Message();
}

// Runs `body` on a thread with a network and mount namespace of its own: "the host". What is mounted there
// goes with it.
void OnATestHost(const std::function<void(const TestDir&)>& body) {
  for (const char* program : {"bridge", "host-local", "portmap"}) {
    if (::access(absl::StrCat(kPlugins, "/", program).c_str(), X_OK) != 0)
      GTEST_SKIP() << "no " << kPlugins << "/" << program;
  }
  const TestDir dir;
  std::string lacking;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
      lacking = "cannot make namespaces (not root?)";
      return;
    }
    // sysfs of the new network namespace is not needed; /proc/sys/net follows the reader's namespace.
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    Output("ip link set lo up");
    body(dir);
  }).join();
  if (!lacking.empty()) GTEST_SKIP() << lacking;
}

// A pod's network namespace, pinned by a bind mount as the monitor does it.
std::string MakePodNetns(const TestDir& dir, const std::string& name) {
  const std::string pin = dir.path() + "/" + name;
  dir.Write(name, "");
  const base::UniqueFd host(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (::unshare(CLONE_NEWNET) != 0 ||
      ::mount("/proc/thread-self/ns/net", pin.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      ::setns(host.get(), CLONE_NEWNET) != 0) {
    ADD_FAILURE() << "cannot pin a namespace: " << std::strerror(errno);
  }
  return pin;
}

PodNetwork Pod(const std::string& id, const std::string& netns) {
  PodNetwork pod;
  pod.pod_id = id;
  pod.pod_name = "web";
  pod.pod_namespace = "default";
  pod.pod_uid = "uid-" + id;
  pod.netns_path = netns;
  return pod;
}

std::unique_ptr<Network> OpenDualStack(const TestDir& dir) {
  dir.Write("conf/10-pods.conflist", R"({"cniVersion":"1.0.0","name":"berth-test","plugins":[
    {"type":"bridge","bridge":"berth-test0","isGateway":true,"ipMasq":false,"ipam":{"type":"host-local","dataDir":")" +
                                         dir.path() + R"(/leases",
      "ranges":[[{"subnet":"10.213.7.0/24"}],[{"subnet":"fd00:213:7::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},
    {"type":"portmap","capabilities":{"portMappings":true}}]})");
  Options options;
  options.conf_dir = dir.conf();
  options.bin_dirs = {kPlugins};
  auto network = Network::Open(options);
  EXPECT_TRUE(network.ok()) << network.status();
  if (!network.ok()) return nullptr;
  for (int i = 0; i < 100 && !(*network)->state().ready; ++i)
    ::usleep(50000);  // a loaded machine may need more than Open waits
  EXPECT_TRUE((*network)->state().ready) << (*network)->state().message;
  return std::move(*network);
}

std::string Leases(const TestDir& dir) { return Output("ls " + dir.path() + "/leases/berth-test"); }

TEST(RealPlugins, GiveADualStackPodItsAddressesAndTakeThemBack) {
  OnATestHost([](const TestDir& dir) {
    const std::string netns = MakePodNetns(dir, "pod1");
    auto network = OpenDualStack(dir);
    ASSERT_NE(network, nullptr);
    auto attachment = network->Prepare(Pod("pod1", netns));
    ASSERT_TRUE(attachment.ok()) << attachment.status();
    const auto added = network->Add(*attachment, Soon());
    ASSERT_TRUE(added.ok()) << added;
    EXPECT_THAT(attachment->ips, ElementsAre("10.213.7.2", "fd00:213:7::2"));
    EXPECT_THAT(Output("nsenter --net=" + netns + " ip -o addr show dev eth0"),
                AllOf(HasSubstr("10.213.7.2/24"), HasSubstr("fd00:213:7::2/64")));
    EXPECT_THAT(Output("ip -o addr show dev berth-test0"), HasSubstr("10.213.7.1/24"));
    EXPECT_THAT(Leases(dir), AllOf(HasSubstr("10.213.7.2\n"), HasSubstr("fd00:213:7::2\n")));

    EXPECT_TRUE(network->Check(*attachment, Soon()).ok()) << network->Check(*attachment, Soon());
    Output("nsenter --net=" + netns + " ip addr del 10.213.7.2/24 dev eth0");
    EXPECT_EQ(network->Check(*attachment, Soon()).code(), absl::StatusCode::kInternal);

    const auto stored = AttachmentFromJson(ToJson(*attachment));
    ASSERT_TRUE(stored.ok());
    const auto deleted = network->Del(*stored, Soon());
    EXPECT_TRUE(deleted.ok()) << deleted;
    EXPECT_THAT(Output("nsenter --net=" + netns + " ip -o link"), Not(HasSubstr("eth0")));
    EXPECT_THAT(Leases(dir), Not(HasSubstr("10.213.7.2\n")));
    EXPECT_TRUE(network->Del(*stored, Soon()).ok()) << "a second DEL must be success too";
    ::umount2(netns.c_str(), MNT_DETACH);
  });
}

TEST(RealPlugins, FreeTheAddressOfAPodWhoseNamespaceIsGone) {
  OnATestHost([](const TestDir& dir) {
    const std::string netns = MakePodNetns(dir, "pod2");
    auto network = OpenDualStack(dir);
    ASSERT_NE(network, nullptr);
    auto attachment = network->Prepare(Pod("pod2", netns));
    ASSERT_TRUE(attachment.ok()) << attachment.status();
    ASSERT_TRUE(network->Add(*attachment, Soon()).ok());
    ASSERT_EQ(::umount2(netns.c_str(), MNT_DETACH),
              0);  // as after a reboot: the pin's empty file is still there
    ASSERT_THAT(Leases(dir), HasSubstr("10.213.7.2\n"));
    const auto deleted = network->Del(*attachment, Soon());
    EXPECT_TRUE(deleted.ok()) << deleted;
    EXPECT_THAT(Leases(dir), Not(HasSubstr("10.213.7.2\n")));
  });
}

TEST(RealPlugins, LeaveNothingWhenALaterOneFails) {
  OnATestHost([](const TestDir& dir) {
    const std::string netns = MakePodNetns(dir, "pod3");
    auto network = OpenDualStack(dir);
    ASSERT_NE(network, nullptr);
    PodNetwork pod = Pod("pod3", netns);
    pod.port_mappings = {{"tcp", 80, 8080, ""}};
    auto attachment = network->Prepare(pod);
    ASSERT_TRUE(attachment.ok()) << attachment.status();
    // An interface of that name is there already: bridge must refuse, after host-local gave it an address.
    Output("nsenter --net=" + netns + " ip link add eth0 type veth peer name eth9");
    const auto added = network->Add(*attachment, Soon());
    EXPECT_EQ(added.code(), absl::StatusCode::kInternal) << added;
    EXPECT_THAT(std::string(added.message()),
                AllOf(HasSubstr("CNI ADD by plugin 'bridge' of network 'berth-test': "), HasSubstr("eth0")));
    EXPECT_THAT(Leases(dir), Not(HasSubstr("10.213.7.2\n")));
    ::umount2(netns.c_str(), MNT_DETACH);
  });
}

TEST(RealPlugins, PublishHostPorts) {
  OnATestHost([](const TestDir& dir) {
    if (Output("iptables -t nat -L -n && echo usable").find("usable") == std::string::npos) {
      GTEST_SKIP() << "iptables' nat table is not to be had here";
    }
    const std::string netns = MakePodNetns(dir, "pod4");
    auto network = OpenDualStack(dir);
    ASSERT_NE(network, nullptr);
    PodNetwork pod = Pod("pod4", netns);
    pod.port_mappings = {{"tcp", 80, 8080, ""}};
    auto attachment = network->Prepare(pod);
    ASSERT_TRUE(attachment.ok()) << attachment.status();
    const auto added = network->Add(*attachment, Soon());
    ASSERT_TRUE(added.ok()) << added;
    EXPECT_THAT(Output("iptables-save -t nat"), HasSubstr("--to-destination 10.213.7.2:80"));
    EXPECT_TRUE(network->Del(*attachment, Soon()).ok());
    EXPECT_THAT(Output("iptables-save -t nat"), Not(HasSubstr("10.213.7.2")));
    ::umount2(netns.c_str(), MNT_DETACH);
  });
}

}  // namespace
}  // namespace berth::network
