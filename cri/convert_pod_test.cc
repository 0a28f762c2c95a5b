// SPDX-License-Identifier: Apache-2.0
#include "cri/convert_pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

v1::PodSandboxConfig Minimal() {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name("pod");
  config.mutable_metadata()->set_namespace_("ns");
  config.mutable_metadata()->set_uid("uid-1");
  config.mutable_metadata()->set_attempt(3);
  return config;
}

v1::NamespaceOption* Namespaces(v1::PodSandboxConfig& config) {
  return config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

std::string Refusal(const v1::PodSandboxConfig& config) {
  const auto converted = PodConfigFrom(config);
  EXPECT_EQ(converted.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(converted.status().message());
}

TEST(PodConfigFromCri, CarriesEverythingThatKubeletSends) {
  auto in = Minimal();
  in.set_hostname("h");
  in.set_log_directory("/var/log/pods/x");
  in.mutable_dns_config()->add_servers("10.0.0.10");
  in.mutable_dns_config()->add_searches("svc");
  in.mutable_dns_config()->add_options("ndots:5");
  auto* port = in.add_port_mappings();
  port->set_protocol(v1::UDP);
  port->set_container_port(53);
  port->set_host_port(5353);
  port->set_host_ip("127.0.0.1");
  (*in.mutable_labels())["l"] = "1";
  (*in.mutable_annotations())["a"] = "2";
  in.mutable_linux()->set_cgroup_parent("/kubepods/poduid-1");
  (*in.mutable_linux()->mutable_sysctls())["net.x"] = "1";
  in.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(100);
  auto* security = in.mutable_linux()->mutable_security_context();
  security->mutable_run_as_user()->set_value(7);
  security->add_supplemental_groups(8);
  security->set_supplemental_groups_policy(v1::Strict);
  security->set_privileged(true);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  Namespaces(in)->set_network(v1::NODE);
  Namespaces(in)->set_pid(v1::CONTAINER);
  const auto out = PodConfigFrom(in);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(out->metadata.name, "pod");
  EXPECT_EQ(out->metadata.name_space, "ns");
  EXPECT_EQ(out->metadata.uid, "uid-1");
  EXPECT_EQ(out->metadata.attempt, 3U);
  EXPECT_EQ(out->hostname, "h");
  EXPECT_EQ(out->log_directory, "/var/log/pods/x");
  EXPECT_THAT(out->dns->servers, ElementsAre("10.0.0.10"));
  EXPECT_THAT(out->dns->searches, ElementsAre("svc"));
  EXPECT_THAT(out->dns->options, ElementsAre("ndots:5"));
  ASSERT_EQ(out->port_mappings.size(), 1U);
  EXPECT_EQ(out->port_mappings[0].protocol, runtime::Protocol::kUdp);
  EXPECT_EQ(out->port_mappings[0].container_port, 53);
  EXPECT_EQ(out->port_mappings[0].host_port, 5353);
  EXPECT_EQ(out->port_mappings[0].host_ip, "127.0.0.1");
  EXPECT_THAT(out->labels, UnorderedElementsAre(Pair("l", "1")));
  EXPECT_THAT(out->annotations, UnorderedElementsAre(Pair("a", "2")));
  EXPECT_EQ(out->cgroup_parent, "/kubepods/poduid-1");
  EXPECT_THAT(out->sysctls, UnorderedElementsAre(Pair("net.x", "1")));
  EXPECT_EQ(out->overhead, std::nullopt);
  EXPECT_EQ(out->resources->memory_limit_bytes, 100);
  EXPECT_EQ(out->run_as_user, 7);
  EXPECT_EQ(out->run_as_group, std::nullopt);
  EXPECT_THAT(out->supplemental_groups, ElementsAre(8));
  EXPECT_TRUE(out->strict_supplemental_groups);
  EXPECT_TRUE(out->privileged);
  EXPECT_EQ(out->seccomp->type, runtime::ProfileType::kRuntimeDefault);
  EXPECT_EQ(out->namespaces.network, runtime::NamespaceMode::kNode);
  EXPECT_EQ(out->namespaces.pid, runtime::NamespaceMode::kContainer);
}

TEST(PodConfigFromCri, AnAbsentMessageIsNotAnEmptyOne) {
  auto in = Minimal();
  EXPECT_EQ(PodConfigFrom(in)->dns, std::nullopt) << "the host's resolv.conf";
  EXPECT_EQ(PodConfigFrom(in)->seccomp, std::nullopt) << "unconfined";
  in.mutable_dns_config();
  EXPECT_NE(PodConfigFrom(in)->dns, std::nullopt) << "an empty resolv.conf";
}

TEST(PodConfigFromCri, SaysWhatIsMissing) {
  EXPECT_THAT(Refusal({}), HasSubstr("no metadata"));
  auto in = Minimal();
  in.mutable_metadata()->clear_name();
  EXPECT_THAT(Refusal(in), HasSubstr("no name"));
  in = Minimal();
  in.mutable_metadata()->clear_uid();
  EXPECT_THAT(Refusal(in), HasSubstr("no uid"));
  in = Minimal();
  in.mutable_metadata()->clear_namespace_();
  EXPECT_THAT(Refusal(in), HasSubstr("no namespace"));
}

TEST(PodConfigFromCri, RefusesHostnamesThatAreNone) {
  for (const char* bad : {"two\nlines", "a b", "\xc3\xa4", "a/b"}) {
    auto in = Minimal();
    in.set_hostname(bad);
    EXPECT_THAT(Refusal(in), HasSubstr("hostname")) << bad;
  }
  auto in = Minimal();
  in.set_hostname(std::string(65, 'h'));
  EXPECT_THAT(Refusal(in), HasSubstr("65 bytes"));
  in.set_hostname("pod-1.sub.ns.svc.cluster.local");
  EXPECT_TRUE(PodConfigFrom(in).ok());
}

TEST(PodConfigFromCri, RefusesNamespaceModesThatAPodCannotHave) {
  auto in = Minimal();
  Namespaces(in)->set_network(v1::CONTAINER);
  EXPECT_THAT(Refusal(in), HasSubstr("network mode"));
  in = Minimal();
  Namespaces(in)->set_ipc(v1::TARGET);
  EXPECT_THAT(Refusal(in), HasSubstr("ipc mode"));
  in = Minimal();
  Namespaces(in)->set_pid(v1::TARGET);
  Namespaces(in)->set_target_id("x");
  EXPECT_THAT(Refusal(in), HasSubstr("TARGET"));
  in = Minimal();
  Namespaces(in)->set_pid(static_cast<v1::NamespaceMode>(17));
  EXPECT_THAT(Refusal(in), HasSubstr("17"));
}

v1::UserNamespace* Mapped(v1::PodSandboxConfig& config, std::uint32_t inside) {
  auto* userns = Namespaces(config)->mutable_userns_options();
  userns->set_mode(v1::POD);
  for (auto* mapping : {userns->add_uids(), userns->add_gids()}) {
    mapping->set_host_id(65536);
    mapping->set_container_id(inside);
    mapping->set_length(65536);
  }
  return userns;
}

TEST(PodConfigFromCri, TakesAUserNamespaceWithOneMapping) {
  auto in = Minimal();
  Mapped(in, 0);
  const auto out = PodConfigFrom(in);
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_TRUE(out->namespaces.user_namespace);
  ASSERT_EQ(out->namespaces.uid_mappings.size(), 1U);
  EXPECT_EQ(out->namespaces.uid_mappings[0].host_id, 65536U);
}

TEST(PodConfigFromCri, RefusesUserNamespacesThatCritestWantsRefused) {
  auto in = Minimal();
  Mapped(in, 1);
  EXPECT_THAT(Refusal(in), HasSubstr("id 0"));
  in = Minimal();
  *Mapped(in, 0)->add_uids() = v1::IDMapping();
  EXPECT_THAT(Refusal(in), HasSubstr("2 user mappings"));
  for (const auto mode : {v1::CONTAINER, v1::TARGET}) {
    in = Minimal();
    Namespaces(in)->mutable_userns_options()->set_mode(mode);
    EXPECT_THAT(Refusal(in), HasSubstr("only POD and NODE"));
  }
  in = Minimal();
  Mapped(in, 0)->mutable_gids(0)->set_host_id(99);
  EXPECT_THAT(Refusal(in), HasSubstr("differently"));
}

TEST(PodConfigFromCri, RefusesPortsAndIdsOutOfRange) {
  auto in = Minimal();
  in.add_port_mappings()->set_host_port(70000);
  EXPECT_THAT(Refusal(in), HasSubstr("70000"));
  in = Minimal();
  in.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(-1);
  EXPECT_THAT(Refusal(in), HasSubstr("run_as_user -1"));
  in = Minimal();
  in.mutable_linux()->mutable_security_context()->add_supplemental_groups(4294967295LL);
  EXPECT_THAT(Refusal(in), HasSubstr("4294967295"));
}

TEST(PodConfigFromCri, UnderstandsTheOldFormOfTheSeccompProfile) {
  auto in = Minimal();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  in.mutable_linux()->mutable_security_context()->set_seccomp_profile_path("localhost//p.json");
  EXPECT_EQ(PodConfigFrom(in)->seccomp->localhost_ref, "/p.json");
  in.mutable_linux()->mutable_security_context()->set_seccomp_profile_path("nonsense");
#pragma GCC diagnostic pop
  EXPECT_THAT(Refusal(in), HasSubstr("nonsense")) << "never ignored: that would weaken the pod";
}

runtime::PodStatus Pod() {
  runtime::PodStatus pod;
  pod.id = "abc";
  pod.state = runtime::PodState::kReady;
  pod.created_at = 5;
  pod.config.metadata = {"pod", "uid-1", "ns", 3};
  pod.config.labels = {{"l", "1"}};
  pod.config.annotations = {{"a", "2"}};
  pod.ips = {"10.0.0.1", "fd00::1"};
  return pod;
}

TEST(PodStatusToCri, EchoesWhatKubeletCompares) {
  auto pod = Pod();
  pod.config.namespaces.network = runtime::NamespaceMode::kNode;
  pod.config.namespaces.pid = runtime::NamespaceMode::kContainer;
  const auto status = PodStatusMessage(pod);
  EXPECT_EQ(status.id(), "abc");
  EXPECT_EQ(status.metadata().uid(), "uid-1");
  EXPECT_EQ(status.metadata().namespace_(), "ns");
  EXPECT_EQ(status.metadata().attempt(), 3U);
  EXPECT_EQ(status.state(), v1::SANDBOX_READY);
  EXPECT_EQ(status.linux().namespaces().options().network(), v1::NODE);
  EXPECT_EQ(status.linux().namespaces().options().pid(), v1::CONTAINER);
  EXPECT_EQ(status.linux().namespaces().options().userns_options().mode(), v1::NODE);
  EXPECT_EQ(status.labels().at("l"), "1");
  EXPECT_EQ(status.annotations().at("a"), "2");
}

TEST(PodStatusToCri, TheOtherAddressesDoNotRepeatTheFirst) {
  auto pod = Pod();
  pod.ips = {"10.0.0.1", "10.0.0.1", "fd00::1"};
  const auto status = PodStatusMessage(pod);
  EXPECT_EQ(status.network().ip(), "10.0.0.1");
  ASSERT_EQ(status.network().additional_ips_size(), 1);
  EXPECT_EQ(status.network().additional_ips(0).ip(), "fd00::1");
  pod.ips.clear();
  EXPECT_EQ(PodStatusMessage(pod).network().ip(), "") << "host network";
}

TEST(PodStatusToCri, APodThatIsNotReadySaysSo) {
  auto pod = Pod();
  pod.state = runtime::PodState::kNotReady;
  EXPECT_EQ(PodItem(pod).state(), v1::SANDBOX_NOTREADY);
  EXPECT_EQ(PodStatusMessage(pod).state(), v1::SANDBOX_NOTREADY);
}

}  // namespace
}  // namespace berth::cri
