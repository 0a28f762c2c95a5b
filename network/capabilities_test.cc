// SPDX-License-Identifier: Apache-2.0
#include "network/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/quantity.h"
#include "network/template.h"

namespace berth::network {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

PodNetwork Pod() {
  PodNetwork pod;
  pod.pod_id = "abc123";
  pod.pod_name = "web";
  pod.pod_namespace = "default";
  pod.pod_uid = "uid-1";
  return pod;
}

std::string Args(const PodNetwork& pod, const char* key) {
  const auto args = CapabilityArgs(pod);
  if (!args.ok()) return std::string(args.status().message());
  return args->contains(key) ? ToText((*args)[key]) : "absent";
}

TEST(CapabilityArgs, PublishesOnlyMappingsWithAHostPort) {
  PodNetwork pod = Pod();
  EXPECT_EQ(Args(pod, "portMappings"), "absent");
  pod.port_mappings = {
      {"TCP", 80, 8080, ""}, {"udp", 53, 53, "127.0.0.1"}, {"tcp", 443, 0, ""}, {"tcp", 80, 8080, ""}};
  EXPECT_EQ(
      Args(pod, "portMappings"),
      R"([{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":53,"containerPort":53,"protocol":"udp","hostIP":"127.0.0.1"}])");
}

TEST(CapabilityArgs, RefusesMappingsThatCannotBe) {
  const auto why = [](const PortMapping& mapping) {
    PodNetwork pod = Pod();
    pod.port_mappings = {{"tcp", 80, 8080, ""}, mapping};
    return Args(pod, "portMappings");
  };
  EXPECT_THAT(why({"tcp", 80, 70000, ""}), HasSubstr("outside 1 to 65535"));
  EXPECT_THAT(why({"tcp", -1, 1, ""}), HasSubstr("outside 1 to 65535"));
  EXPECT_THAT(why({"tcp", 0, 1, ""}), HasSubstr("no container port"));
  EXPECT_THAT(why({"icmp", 80, 1, ""}), HasSubstr("protocol"));
  EXPECT_THAT(why({"tcp", 80, 1, "localhost"}), HasSubstr("'localhost' that is no IP address"));
  EXPECT_THAT(why({"tcp", 81, 8080, ""}), HasSubstr("has already"));
  EXPECT_THAT(why({"udp", 81, 8080, ""}), HasSubstr("\"udp\""));
}

TEST(CapabilityArgs, ReadsTheBandwidthAnnotationsAsQuantities) {
  PodNetwork pod = Pod();
  pod.annotations = {{"kubernetes.io/ingress-bandwidth", "10M"}, {"kubernetes.io/egress-bandwidth", "1Gi"}};
  EXPECT_EQ(
      Args(pod, "bandwidth"),
      R"({"ingressRate":10000000,"ingressBurst":2147483647,"egressRate":1073741824,"egressBurst":2147483647})");
  pod.annotations = {{"kubernetes.io/egress-bandwidth", "ten"}};
  EXPECT_EQ(Args(pod, "bandwidth"),
            "annotation 'kubernetes.io/egress-bandwidth': 'ten' is no quantity like '10M'");
  pod.annotations = {{"kubernetes.io/ingress-bandwidth", "10"}};
  EXPECT_THAT(Args(pod, "bandwidth"), HasSubstr("not between 1k and 1P"));
  EXPECT_EQ(CapabilityArgs(pod).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CapabilityArgs, CarriesDnsCgroupAndAnnotations) {
  PodNetwork pod = Pod();
  pod.dns_servers = {"10.0.0.10"};
  pod.dns_options = {"ndots:5"};
  pod.cgroup = "/kubepods/podx";
  pod.annotations = {{"a", "b"}};
  EXPECT_EQ(Args(pod, "dns"), R"({"servers":["10.0.0.10"],"options":["ndots:5"]})");
  EXPECT_EQ(Args(pod, "cgroupPath"), R"("/kubepods/podx")");
  EXPECT_EQ(Args(pod, "io.kubernetes.cri.pod-annotations"), R"({"a":"b"})");
}

TEST(CniArgs, NamesThePodAndLetsNothingBeSmuggledIn) {
  PodNetwork pod = Pod();
  EXPECT_EQ(*CniArgs(pod),
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc123;"
            "K8S_POD_UID=uid-1");
  pod.pod_name = "web;IP=10.0.0.1";
  EXPECT_EQ(CniArgs(pod).status().code(), absl::StatusCode::kInvalidArgument);
  pod = Pod();
  pod.pod_id = "../x";
  EXPECT_EQ(CniArgs(pod).status().code(), absl::StatusCode::kInvalidArgument);
}

Conflist List(const std::string& plugin) {
  auto list = ParseConflist(R"({"cniVersion":"1.0.0","name":"pods","plugins":[)" + plugin + "]}");
  EXPECT_TRUE(list.ok()) << list.status();
  return *list;
}

TEST(RequestConfig, InjectsOnlyTheCapabilitiesThatThePluginDeclares) {
  const auto list = List(
      R"({"type":"portmap","capabilities":{"portMappings":true,"dns":false,"mac":true},"snat":true,"runtimeConfig":{"x":1},"cni.dev/y":2})");
  const Json args = {{"portMappings", Json::array({1})}, {"dns", {{"servers", {"x"}}}}, {"bandwidth", 1}};
  EXPECT_EQ(
      RequestConfig(list, 0, args, nullptr),
      R"({"type":"portmap","snat":true,"cniVersion":"1.0.0","name":"pods","runtimeConfig":{"portMappings":[1]}})");
}

TEST(RequestConfig, CarriesThePreviousResult) {
  const auto list = List(R"({"type":"a","prevResult":{"forged":1}})");
  EXPECT_EQ(RequestConfig(list, 0, Json::object(), nullptr),
            R"({"type":"a","cniVersion":"1.0.0","name":"pods"})");
  EXPECT_EQ(RequestConfig(list, 0, Json::object(), Json{{"ips", Json::array()}}),
            R"({"type":"a","cniVersion":"1.0.0","name":"pods","prevResult":{"ips":[]}})");
}

TEST(PluginEnv, PassesOursOnButNothingOfTheServiceManagersOrOfAnotherCni) {
  const char* own[] = {"HOME=/root",          "CNI_COMMAND=DEL", "NOTIFY_SOCKET=/run/x",
                       "BERTH_FAULT=a:abort", "HTTPS_PROXY=p",   nullptr};
  auto env = PluginEnv(own, "ADD", {"/a", "/b"});
  AddAttachmentEnv(env, "id1", "/ns", "IgnoreUnknown=1");
  EXPECT_THAT(env, ::testing::ElementsAre("HOME=/root", "HTTPS_PROXY=p",
                                          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                          "CNI_COMMAND=ADD", "CNI_PATH=/a:/b", "CNI_CONTAINERID=id1",
                                          "CNI_NETNS=/ns", "CNI_IFNAME=eth0", "CNI_ARGS=IgnoreUnknown=1"));
}

TEST(ParseQuantity, CountsAsKubernetesDoes) {
  EXPECT_EQ(*ParseQuantity("0"), 0);
  EXPECT_EQ(*ParseQuantity("1500"), 1500);
  EXPECT_EQ(*ParseQuantity("1.5k"), 1500);
  EXPECT_EQ(*ParseQuantity("1.0001"), 2);  // rounded up
  EXPECT_EQ(*ParseQuantity("100m"), 1);
  EXPECT_EQ(*ParseQuantity("2e3"), 2000);
  EXPECT_EQ(*ParseQuantity("12E-1"), 2);
  EXPECT_EQ(*ParseQuantity("1E"), 1'000'000'000'000'000'000);
  EXPECT_EQ(*ParseQuantity("1.5Gi"), 1610612736);
  EXPECT_EQ(*ParseQuantity("+.5Ki"), 512);
  EXPECT_EQ(*ParseQuantity("9223372036854775807"), INT64_MAX);
  for (const char* bad : {"", "-1", "k", "1 k", "1kk", "1K", "0x10", "1e", "1.2.3", "9223372036854775808",
                          "8Ei", "1e99", "99999999999999999999999999999999999999999"}) {
    EXPECT_FALSE(ParseQuantity(bad).ok()) << bad;
  }
}

TEST(RenderTemplate, FillsInThePodCidrs) {
  const auto cidrs = ParsePodCidrs("10.1.0.0/24, fd00:1::/64");
  ASSERT_TRUE(cidrs.ok());
  const auto text = RenderTemplate(
      R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"a","s":"{{.PodCIDR}}","ranges":{{ .PodCIDRRanges }},"routes":{{.Routes}}}]})",
      *cidrs);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(
      *text,
      R"({"cniVersion":"1.0.0","name":"p","plugins":[{"type":"a","s":"10.1.0.0/24","ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00:1::/64"}]],)"
      R"("routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}]})");
}

TEST(RenderTemplate, RefusesWhatItDoesNotKnow) {
  const std::vector<std::string> cidrs{"10.1.0.0/24"};
  EXPECT_THAT(std::string(RenderTemplate("{{.Nope}}", cidrs).status().message()),
              HasSubstr("'{{.Nope}}' is not known"));
  EXPECT_THAT(std::string(RenderTemplate("{{.PodCIDR", cidrs).status().message()), HasSubstr("without"));
  EXPECT_THAT(std::string(RenderTemplate("{\"name\":\"p\"", cidrs).status().message()),
              HasSubstr("not JSON"));
  EXPECT_FALSE(ParsePodCidrs("10.1.0.0/24,").ok());
  EXPECT_FALSE(ParsePodCidrs("10.1.0.0/33").ok());
  EXPECT_FALSE(ParsePodCidrs("10.1.0.0").ok());
}

TEST(AttachmentJson, ComesBackAsItWent) {
  Attachment attachment;
  attachment.pod = Pod();
  attachment.pod.netns_path = "/run/x";
  attachment.pod.port_mappings = {{"tcp", 80, 8080, "127.0.0.1"}};
  attachment.pod.annotations = {{"k", "v\n"}};
  attachment.pod.dns_servers = {"10.0.0.10"};
  attachment.pod.cgroup = "/c";
  attachment.conflist = "{\"a\": 1 }";
  attachment.result = "{}";
  attachment.ips = {"10.0.0.2"};
  const auto again = AttachmentFromJson(ToJson(attachment));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToJson(*again), ToJson(attachment));
  EXPECT_EQ(again->conflist, attachment.conflist);
  EXPECT_EQ(again->pod.port_mappings.at(0).host_ip, "127.0.0.1");
  EXPECT_EQ(AttachmentFromJson("{}").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(AttachmentFromJson("{").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace berth::network
