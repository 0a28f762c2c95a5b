// SPDX-License-Identifier: Apache-2.0
// Pod networks: traffic, ports, and plugins that refuse, hang, die or keep what they should give back.
#include <gmock/gmock.h>
#include <stdio.h>
#include <unistd.h>

#include "e2e/cri/fake_plugin.h"
#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/pod.h"
#include "e2e/cri/harness/process.h"

namespace berth::e2e {
namespace {

using testing::Contains;
using testing::HasSubstr;

cri::RunPodSandboxRequest RunRequest(const cri::PodSandboxConfig& config) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  return request;
}

std::vector<std::string> PodsOf(const cri::PodSandboxConfig& config) {
  cri::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())["io.kubernetes.pod.uid"] = config.metadata().uid();
  const cri::ListPodSandboxResponse reply = Must(Cri().ListPodSandbox(request));
  std::vector<std::string> ids;
  for (const cri::PodSandbox& pod : reply.items()) ids.push_back(pod.id());
  return ids;
}

cri::RuntimeCondition NetworkReady() {
  const cri::StatusResponse reply = Must(Cri().Status({}));
  for (const cri::RuntimeCondition& condition : reply.status().conditions()) {
    if (condition.type() == "NetworkReady") return condition;
  }
  throw TestError("no NetworkReady condition");
}

TEST(Network, PodsReachEachOtherInBothFamilies) {
  const Pod server, client;
  const Container nginx = Container::Run(server, ImageDefault("nginx"));
  const cri::PodSandboxNetworkStatus network = server.Status().network();
  const Container container = Container::Run(client, Server());
  for (const std::string& host : {network.ip(), "[" + network.additional_ips(0).ip() + "]"}) {
    cri::ExecSyncResponse reply;
    const bool answered = Eventually(
        [&] {
          reply = container.Exec({"wget", "-q", "-O-", "http://" + host + "/"});
          return reply.exit_code() == 0;
        },
        seconds(15));
    EXPECT_TRUE(answered) << host << ": " << reply.stderr();
    EXPECT_EQ(reply.stdout(), "berth test page\n");
  }
}

TEST(Network, AHostPortLeadsToThePodAndIsGoneAfterIt) {
  const std::string url = "http://10.88.0.1:18080/";
  {
    cri::PodSandboxConfig config = PodConfig();
    cri::PortMapping* port = config.add_port_mappings();
    port->set_container_port(80);
    port->set_host_port(18080);
    config.add_port_mappings()->set_container_port(81);  // host port 0: nothing to publish
    const Pod pod(config);
    const Container nginx = Container::Run(pod, ImageDefault("nginx"));
    WaitFor("the host port", [&] { return RunProgram({"curl", "-sf", "-m2", url}).exit_code == 0; });
    EXPECT_EQ(MustRun({"curl", "-sf", "-m2", url}), "berth test page\n");
  }
  EXPECT_NE(RunProgram({"curl", "-sf", "-m2", url}).exit_code, 0);
  EXPECT_THAT(RunProgram({"iptables-save", "-t", "nat"}).output, testing::Not(HasSubstr("18080")));
}

TEST(Network, ThePodCidrThatKubeletTellsRendersTheTemplate) {
  BERTH_NEEDS_OWN_DAEMON();
  const std::string dir = Environment::Get().dir() + "/template";
  MakeDirs(dir + "/conf");
  // ptp leaves nothing on the host, a bridge would.
  WriteFile(dir + "/template", R"({"cniVersion":"1.0.0","name":"rendered","plugins":[{"type":"ptp","ipam":
      {"type":"host-local","dataDir":")" +
                                   Environment::Get().ipam_dir() +
                                   R"(","ranges":{{.PodCIDRRanges}},"routes":{{.Routes}}}}]})");
  DaemonConfig config = Environment::Get().AnotherDaemon("daemon-template");
  config.cni_conf_dir = dir + "/conf";
  config.cni_conf_template = dir + "/template";
  const ScopedDaemon daemon(config);
  EXPECT_FALSE(NetworkReady().status()) << "there is no network before kubelet told the CIDR";
  cri::UpdateRuntimeConfigRequest request;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.77.3.0/24,fd00:77::/64");
  Must(Cri().UpdateRuntimeConfig(request));
  WaitFor("NetworkReady", [] { return NetworkReady().status(); });
  const Pod pod;
  EXPECT_THAT(pod.Ip(), testing::StartsWith("10.77.3."));
  EXPECT_THAT(pod.Status().network().additional_ips(0).ip(), testing::StartsWith("fd00:77::"));
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("no cidr");
  const absl::Status refused = Cri().UpdateRuntimeConfig(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no cidr"));
  EXPECT_TRUE(NetworkReady().status()) << "what is in force stays so";
}

TEST(Network, HostPortsKnowTheirProtocolAndAddressInBothFamilies) {
  cri::PodSandboxConfig config = PodConfig();
  struct {
    cri::Protocol protocol;
    int host_port;
    const char* host_ip;
  } const ports[] = {{cri::TCP, 18081, "10.88.0.1"},
                     {cri::TCP, 18082, "fd00:88::1"},
                     {cri::UDP, 18083, ""},
                     {cri::SCTP, 18084, ""}};
  for (const auto& port : ports) {
    cri::PortMapping* mapping = config.add_port_mappings();
    mapping->set_protocol(port.protocol);
    mapping->set_container_port(80);
    mapping->set_host_port(port.host_port);
    mapping->set_host_ip(port.host_ip);
  }
  {
    const Pod pod(config);
    const Container nginx = Container::Run(pod, ImageDefault("nginx"));
    for (const char* url : {"http://10.88.0.1:18081/", "http://[fd00:88::1]:18082/"})
      WaitFor(url, [&] { return RunProgram({"curl", "-sf", "-m2", url}).exit_code == 0; });
    EXPECT_NE(RunProgram({"curl", "-sf", "-m2", "http://127.0.0.1:18081/"}).exit_code, 0)
        << "another address";
    const std::string rules = RunProgram({"iptables-save", "-t", "nat"}).output;
    EXPECT_THAT(rules, testing::ContainsRegex("-p udp .*18083"));
    EXPECT_THAT(rules, testing::ContainsRegex("-p sctp .*18084"));
  }
  for (const char* program : {"iptables-save", "ip6tables-save"})
    EXPECT_THAT(RunProgram({program, "-t", "nat"}).output, testing::Not(HasSubstr("1808"))) << program;
}

class Plugins : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    plugin_ = std::make_unique<FakePlugin>(Environment::Get().dir() + "/fake-" + name);
    daemon_ = std::make_unique<ScopedDaemon>(plugin_->Daemon("daemon-" + name.substr(0, 12)));
  }
  std::unique_ptr<FakePlugin> plugin_;
  std::unique_ptr<ScopedDaemon> daemon_;
};

TEST_F(Plugins, ItsAddressIsThePods) {
  const Pod pod;
  EXPECT_EQ(pod.Ip(), "10.99.0.7");
  EXPECT_THAT(plugin_->Calls(), Contains("ADD " + pod.id()));
}

TEST_F(Plugins, ARefusalIsToldInThePluginsOwnWordsAndLeavesNothing) {
  const cri::PodSandboxConfig config = PodConfig();
  for (const char* how : {"refuse", "garbage", "die"}) {
    plugin_->Behave(how);
    const absl::Status status = Cri().RunPodSandbox(RunRequest(config)).status();
    ASSERT_FALSE(status.ok()) << how;
    EXPECT_THAT(std::string(status.message()), HasSubstr("e2e-fake")) << "the plugin's name";
    if (std::string(how) == "refuse") {
      EXPECT_THAT(std::string(status.message()), HasSubstr("the fake plugin says no"));
      EXPECT_THAT(std::string(status.message()), HasSubstr("because the test wants it"));
    }
    EXPECT_NE(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(PodsOf(config), testing::IsEmpty()) << how;
    EXPECT_FALSE(MemoryCgroupExists(config.linux().cgroup_parent())) << how;
  }
  plugin_->Behave("");
  const Pod pod(config);  // the same name, attempt and all
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_READY);
}

TEST_F(Plugins, OneThatHangsHoldsOnlyItsOwnPodAndARetryJoinsIt) {
  const cri::PodSandboxConfig config = PodConfig();
  MakeDirs(config.log_directory());
  plugin_->Behave("hang");
  const absl::Status given_up = Cri().RunPodSandbox(RunRequest(config), seconds(3)).status();
  EXPECT_EQ(given_up.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(PodsOf(config), testing::IsEmpty()) << "what a departed caller began stays out of the list";
  Must(Cri().Status({}, seconds(2)));
  cri::PodSandboxConfig other = PodConfig();
  Namespaces(&other)->set_network(cri::NODE);
  other.clear_hostname();
  const Pod unaffected(other);
  plugin_->Behave("");
  const Pod joined(config);
  EXPECT_EQ(joined.Ip(), "10.99.0.7");
  EXPECT_EQ(PodsOf(config).size(), 1U);
}

TEST_F(Plugins, OneThatHangsForEverEndsWithAnErrorThatNamesIt) {
  if (!GetOptions().full) GTEST_SKIP() << "takes as long as the daemon's patience with plugins: --full";
  const cri::PodSandboxConfig config = PodConfig();
  plugin_->Behave("hang");
  const absl::Status status =
      Cri().RunPodSandbox(RunRequest(config), seconds(235)).status();  // kubelet's is 240 s
  EXPECT_NE(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("e2e-fake"));
  plugin_->Behave("");
  const Pod pod(config);
}

TEST_F(Plugins, DelIsRepeatedUntilItSucceeds) {
  Pod pod;
  const std::string id = pod.id();
  plugin_->Behave("stuck");
  const auto stopped = Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(id));
  if (!stopped.ok()) {
    EXPECT_THAT(std::string(stopped.status().message()), HasSubstr("the fake plugin keeps it"));
  }
  EXPECT_THAT(plugin_->Calls(), Contains("DEL " + id));
  EXPECT_THAT(plugin_->Deleted(), testing::Not(Contains(id)));
  plugin_->Behave("");
  pod.Stop();  // kubelet's next try
  WaitFor(
      "a DEL that succeeds", [&] { return testing::Value(plugin_->Deleted(), Contains(id)); }, seconds(60));
  EXPECT_EQ(pod.Status().state(), cri::SANDBOX_NOTREADY);
}

TEST_F(Plugins, DelOfAPodOutlivesTheDaemon) {
  Pod pod;
  const std::string id = pod.id();
  plugin_->Behave("stuck");
  static_cast<void>(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(id)));
  Environment::Get().daemon().Kill9();
  plugin_->Behave("");
  Environment::Get().daemon().Start();
  pod.Stop();
  WaitFor(
      "a DEL that succeeds", [&] { return testing::Value(plugin_->Deleted(), Contains(id)); }, seconds(60));
}

TEST_F(Plugins, DelOfAHalfMadePodIsRepeatedThoughNobodyAsksForIt) {
  const cri::PodSandboxConfig config = PodConfig();
  plugin_->Behave("hang");
  EXPECT_FALSE(Cri().RunPodSandbox(RunRequest(config), seconds(2)).ok());
  std::string id;
  for (const std::string& call : plugin_->Calls()) {
    if (call.rfind("ADD ", 0) == 0) id = call.substr(4);
  }
  ASSERT_FALSE(id.empty()) << "the plugin was never asked";
  Environment::Get().daemon().Kill9();
  plugin_->Behave("stuck");
  Environment::Get().daemon().Start();  // takes the half-made pod apart; its address stays
  WaitFor("a DEL", [&] { return testing::Value(plugin_->Calls(), Contains("DEL " + id)); });
  EXPECT_THAT(plugin_->Deleted(), testing::Not(Contains(id)));
  EXPECT_THAT(PodsOf(config), testing::IsEmpty());
  plugin_->Behave("");
  WaitFor(
      "a DEL that succeeds", [&] { return testing::Value(plugin_->Deleted(), Contains(id)); }, seconds(60));
  const Pod pod(config);
  EXPECT_EQ(pod.Ip(), "10.99.0.7");
}

TEST_F(Plugins, ABrokenConflistIsNamedWithItsErrorAndARepairedOneIsSeen) {
  const std::string conf = Environment::Get().daemon().config().cni_conf_dir + "/10-fake.conflist";
  const std::string good = ReadFile(conf);
  EXPECT_TRUE(NetworkReady().status());
  WriteFile(conf, "{ this is not JSON");
  WaitFor("NetworkReady=false", [] { return !NetworkReady().status(); });
  EXPECT_THAT(NetworkReady().message(), HasSubstr("10-fake.conflist"));
  EXPECT_FALSE(NetworkReady().reason().empty());
  EXPECT_FALSE(Cri().RunPodSandbox(RunRequest(PodConfig())).ok());
  {
    cri::PodSandboxConfig host = PodConfig();
    Namespaces(&host)->set_network(cri::NODE);
    host.clear_hostname();
    const Pod pod(host);  // needs no network of ours
  }
  // Renamed into place, as configuration managers do it.
  WriteFile(conf + ".tmp", good);
  ASSERT_EQ(::rename((conf + ".tmp").c_str(), conf.c_str()), 0);
  WaitFor("NetworkReady=true", [] { return NetworkReady().status(); });
  ASSERT_EQ(::unlink(conf.c_str()), 0);
  WaitFor("NetworkReady=false again", [] { return !NetworkReady().status(); });
  WriteFile(conf, good);
  WaitFor("NetworkReady=true again", [] { return NetworkReady().status(); });
}

TEST_F(Plugins, TheFirstValidConflistInOrderWins) {
  const std::string dir = Environment::Get().daemon().config().cni_conf_dir;
  WriteFile(dir + "/00-broken.conflist", "{");
  WriteFile(dir + "/05-not-a-conflist.txt", "{}");
  WriteFile(dir + "/20-bridge.conflist", BridgeConflist(Environment::Get().ipam_dir()));
  {
    const Pod pod;
    EXPECT_EQ(pod.Ip(), "10.99.0.7");
  }
  ASSERT_EQ(::unlink((dir + "/10-fake.conflist").c_str()), 0);
  WaitFor("the next conflist", [] {
    const Pod pod;
    return pod.Ip().rfind("10.88.", 0) == 0;
  });
}

TEST_F(Plugins, APluginThatIsNotInstalledIsNamed) {
  const std::string dir = Environment::Get().daemon().config().cni_conf_dir;
  WriteFile(dir + "/10-fake.conflist",
            R"({"cniVersion":"1.0.0","name":"fake","plugins":[{"type":"e2e-not-installed"}]})");
  absl::Status status;
  WaitFor("a refusal", [&] {
    const auto reply = Cri().RunPodSandbox(RunRequest(PodConfig()));
    status = reply.status();
    if (reply.ok())
      static_cast<void>(
          Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(reply->pod_sandbox_id())));
    return !reply.ok();
  });
  EXPECT_THAT(std::string(status.message()) + NetworkReady().message(), HasSubstr("e2e-not-installed"));
}

}  // namespace
}  // namespace berth::e2e
