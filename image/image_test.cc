// SPDX-License-Identifier: Apache-2.0
// The pure parts: names, hosts.toml, manifests, configs, challenges.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "image/challenge.h"
#include "image/config.h"
#include "image/digest.h"
#include "image/hosts.h"
#include "image/http.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "image/registry.h"
#include "image/test_archive.h"

namespace berth::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string Normal(const std::string& text) {
  const auto reference = ParseReference(text);
  return reference.ok() ? reference->ToString() : std::string(reference.status().message());
}

TEST(References, AreNormalisedAsPeopleExpect) {
  EXPECT_EQ(Normal("busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Normal("busybox:1.36"), "docker.io/library/busybox:1.36");
  EXPECT_EQ(Normal("user/app"), "docker.io/user/app:latest");
  EXPECT_EQ(Normal("index.docker.io/library/busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Normal("docker.io/busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Normal("localhost/app"), "localhost/app:latest");
  EXPECT_EQ(Normal("localhost:5000/app"), "localhost:5000/app:latest");
  EXPECT_EQ(Normal("127.0.0.1:5000/a/b/c:t"), "127.0.0.1:5000/a/b/c:t");
  EXPECT_EQ(Normal("[::1]:5000/app:1"), "[::1]:5000/app:1");
  EXPECT_EQ(Normal("registry.k8s.io/pause:3.10"), "registry.k8s.io/pause:3.10");
  EXPECT_EQ(Normal("MyHost/app"), "MyHost/app:latest");
  EXPECT_EQ(Normal("busybox@" + kDigest), "docker.io/library/busybox@" + kDigest);
  EXPECT_EQ(Normal("busybox:1@" + kDigest), "docker.io/library/busybox:1@" + kDigest);
  EXPECT_EQ(Normal("a__b/c-d/e.f/g---h"), "docker.io/a__b/c-d/e.f/g---h:latest");
}

TEST(References, ErrorsNameThePartThatIsWrong) {
  EXPECT_THAT(Normal(""), HasSubstr("empty"));
  EXPECT_THAT(Normal("busybox:"), HasSubstr("tag"));
  EXPECT_THAT(Normal("busybox:a b"), HasSubstr("tag 'a b'"));
  EXPECT_THAT(Normal("busybox:" + std::string(129, 't')), HasSubstr("tag"));
  EXPECT_THAT(Normal("BusyBox"), HasSubstr("upper-case"));
  EXPECT_THAT(Normal("docker.io/BusyBox"), HasSubstr("upper-case"));
  EXPECT_THAT(Normal("a//b"), HasSubstr("empty component"));
  EXPECT_THAT(Normal("a/b/"), HasSubstr("empty component"));
  EXPECT_THAT(Normal("https://registry.example/app"), HasSubstr("registry.example/app"));
  EXPECT_THAT(Normal("busybox@sha256:abc"), HasSubstr("digest"));
  EXPECT_THAT(Normal("busybox@md5:" + std::string(64, 'a')), HasSubstr("digest"));
  EXPECT_THAT(Normal("host:99999/app"), HasSubstr("registry 'host:99999'"));
  EXPECT_THAT(Normal("-host.com/app"), HasSubstr("registry"));
  EXPECT_THAT(Normal("a___b"), HasSubstr("component"));
  EXPECT_THAT(Normal("a..b"), HasSubstr("component"));
  EXPECT_THAT(Normal(std::string(64, 'a')), HasSubstr("id"));
  EXPECT_THAT(Normal("evil\nname"), HasSubstr("'evil?name'"));
  EXPECT_THAT(Normal(std::string(300, 'a')), HasSubstr("longer than"));
}

TEST(Hosts, WithoutConfigurationLoopbackIsPlain) {
  EXPECT_EQ(DefaultHost("docker.io").BaseUrl(), "https://registry-1.docker.io/v2");
  EXPECT_EQ(DefaultHost("registry.example:5000").BaseUrl(), "https://registry.example:5000/v2");
  EXPECT_EQ(DefaultHost("localhost:5000").BaseUrl(), "http://localhost:5000/v2");
  EXPECT_EQ(DefaultHost("127.0.0.1:5000").BaseUrl(), "http://127.0.0.1:5000/v2");
  EXPECT_EQ(DefaultHost("[::1]:5000").BaseUrl(), "http://[::1]:5000/v2");
  EXPECT_EQ(DefaultHost("127.evil.example").scheme, "https");
  EXPECT_EQ(DefaultHost("localhost.evil.example").scheme, "https");
}

TEST(Hosts, KeepTheOrderOfTheFileAndEndWithTheServer) {
  const auto hosts = ParseHosts(R"(
server = "https://upstream.example"
skip_verify = true
[host."https://z.example:5000"]
  capabilities = ["pull", "resolve"]
  ca = "ca.pem"
  client = [["cert.pem", "key.pem"]]
[host."http://a.example/prefix"]
  capabilities = ["pull"]
  [host."http://a.example/prefix".header]
    x-token = ["one", "two"]
[host."https://m.example/v2/proxy"]
  override_path = true
)",
                                "docker.io", "/certs.d/docker.io");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  ASSERT_EQ(hosts->size(), 4u);
  EXPECT_EQ((*hosts)[0].BaseUrl(), "https://z.example:5000/v2");
  EXPECT_THAT((*hosts)[0].tls.ca_files, ElementsAre("/certs.d/docker.io/ca.pem"));
  EXPECT_EQ((*hosts)[0].tls.client_key, "/certs.d/docker.io/key.pem");
  EXPECT_TRUE((*hosts)[0].mirror);
  EXPECT_EQ((*hosts)[1].BaseUrl(), "http://a.example/prefix/v2");
  EXPECT_FALSE((*hosts)[1].resolve);
  EXPECT_EQ((*hosts)[1].headers.size(), 2u);
  EXPECT_EQ((*hosts)[2].BaseUrl(), "https://m.example/v2/proxy");
  EXPECT_EQ((*hosts)[3].BaseUrl(), "https://upstream.example/v2");
  EXPECT_TRUE((*hosts)[3].tls.skip_verify);
  EXPECT_FALSE((*hosts)[3].mirror);
  EXPECT_FALSE((*hosts)[0].tls.skip_verify) << "the server's keys are the server's only";
}

TEST(Hosts, ErrorsNameTheLine) {
  auto error = [](const char* text) {
    return std::string(ParseHosts(text, "docker.io", "/d").status().message());
  };
  EXPECT_THAT(error("server = \"x\"\n[host\n"), HasSubstr("line 2"));
  EXPECT_THAT(error("\n\n[host.\"ftp://x\"]\n"), HasSubstr("line 3"));
  EXPECT_THAT(error("[host.\"https://user:pw@x\"]\n"), HasSubstr("without user"));
  EXPECT_THAT(error("[host.\"https://x\"]\nskip_verify = \"yes\"\n"), HasSubstr("line 2"));
  EXPECT_THAT(error("[host.\"https://x\"]\ncapabilities = [\"fly\"]\n"), HasSubstr("capabilities"));
  EXPECT_THAT(error("[host.\"https://x\".header]\na = \"x\\r\\ny: z\"\n"), HasSubstr("line break"));
}

TEST(Hosts, AreLookedUpByHostAndPortThenDefault) {
  const testing::TempDir dir;
  std::filesystem::create_directories(dir.path() + "/registry.example_5000_");
  std::filesystem::create_directories(dir.path() + "/_default");
  dir.Write("registry.example_5000_/hosts.toml", "server = \"https://one.example\"");
  dir.Write("_default/hosts.toml", "server = \"https://two.example\"");
  EXPECT_EQ(HostsFor(dir.path(), "registry.example:5000")->back().host, "one.example");
  EXPECT_EQ(HostsFor(dir.path(), "other.example")->back().host, "two.example");
  EXPECT_EQ(HostsFor(dir.path() + "/none", "other.example")->back().host, "other.example");
}

std::string IndexOf(const std::vector<std::pair<std::string, std::string>>& platforms) {
  nlohmann::json list = nlohmann::json::array();
  for (std::size_t i = 0; i < platforms.size(); ++i) {
    nlohmann::json platform = {{"os", "linux"}, {"architecture", platforms[i].first}};
    if (!platforms[i].second.empty()) platform["variant"] = platforms[i].second;
    list.push_back({{"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                    {"digest", "sha256:" + std::string(64, static_cast<char>('0' + i))},
                    {"size", 10},
                    {"platform", platform}});
  }
  return nlohmann::json({{"schemaVersion", 2}, {"manifests", list}}).dump();
}

std::string Chosen(const std::string& index, const Platform& host) {
  const auto chosen = ChoosePlatform(*ParseManifest(index, ""), host);
  return chosen.ok() ? chosen->digest.substr(7, 1) : std::string(chosen.status().message());
}

TEST(Manifests, ThePlatformThatFitsBestIsChosen) {
  const std::string index =
      IndexOf({{"arm64", "v8"}, {"amd64", "v3"}, {"amd64", ""}, {"arm", "v5"}, {"arm", "v7"}, {"arm", "v6"}});
  EXPECT_EQ(Chosen(index, {"linux", "amd64", ""}), "2");
  EXPECT_EQ(Chosen(index, {"linux", "arm64", "v8"}), "0");
  EXPECT_EQ(Chosen(index, {"linux", "arm", "v7"}), "4");
  EXPECT_EQ(Chosen(index, {"linux", "arm", "v6"}), "5");
  EXPECT_EQ(Chosen(IndexOf({{"arm64", ""}}), {"linux", "arm64", "v8"}), "0");
  EXPECT_THAT(Chosen(index, {"linux", "riscv64", ""}),
              HasSubstr("nothing for linux/riscv64; it offers linux/arm64/v8"));
}

std::string ManifestError(const nlohmann::json& json, const std::string& type = "") {
  return std::string(ParseManifest(json.dump(), type).status().message());
}

nlohmann::json GoodManifest(const std::string& layer_type = "application/vnd.oci.image.layer.v1.tar+gzip") {
  return {{"schemaVersion", 2},
          {"config",
           {{"mediaType", "application/vnd.oci.image.config.v1+json"}, {"digest", kDigest}, {"size", 5}}},
          {"layers", {{{"mediaType", layer_type}, {"digest", kDigest}, {"size", 7}}}}};
}

TEST(Manifests, WhatCannotRunIsRefusedWithASentence) {
  ASSERT_TRUE(ParseManifest(GoodManifest().dump(), "").ok());
  EXPECT_THAT(ManifestError({{"schemaVersion", 1}}), HasSubstr("schema 1"));
  EXPECT_THAT(ManifestError(GoodManifest("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
              HasSubstr("not distributed"));
  EXPECT_THAT(ManifestError(GoodManifest("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")),
              HasSubstr("encrypted"));
  EXPECT_THAT(ManifestError(GoodManifest("application/octet-stream")), HasSubstr("no file system layer"));
  auto artifact = GoodManifest();
  artifact["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
  EXPECT_THAT(ManifestError(artifact), HasSubstr("artifact"));
  auto both = GoodManifest();
  both["manifests"] = nlohmann::json::array();
  EXPECT_THAT(ManifestError(both), HasSubstr("both"));
  EXPECT_THAT(ManifestError(GoodManifest(), "application/vnd.oci.image.index.v1+json"),
              HasSubstr("is said to be"));
  auto path = GoodManifest();
  path["layers"][0]["digest"] = "sha256:../../../etc/passwd";
  EXPECT_THAT(ManifestError(path), HasSubstr("not sha256:"));
  auto negative = GoodManifest();
  negative["layers"][0]["size"] = -1;
  EXPECT_THAT(ManifestError(negative), HasSubstr("size"));
  auto many = GoodManifest();
  for (int i = 0; i < 600; ++i) many["layers"].push_back(many["layers"][0]);
  EXPECT_THAT(ManifestError(many), HasSubstr("601 layers"));
  EXPECT_THAT(std::string(ParseManifest(std::string(100000, '['), "").status().message()),
              HasSubstr("nested too deep"));
  EXPECT_THAT(std::string(ParseManifest("{", "").status().message()), HasSubstr("not JSON"));
}

TEST(Configs, AreReadWithTheirTypesChecked) {
  const auto image = testing::MakeImage({{}}, {{"Env", {"A=1"}},
                                               {"User", "1000:5"},
                                               {"Volumes", {{"/data", nlohmann::json::object()}}},
                                               {"Labels", {{"k", "v"}}},
                                               {"Entrypoint", nullptr},
                                               {"StopSignal", "SIGQUIT"},
                                               {"WorkingDir", "/w"}});
  const auto parsed = ParseConfig(image.config);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->config.env, ElementsAre("A=1"));
  EXPECT_EQ(parsed->config.user, "1000:5");
  EXPECT_THAT(parsed->config.volumes, ElementsAre("/data"));
  EXPECT_EQ(parsed->config.labels.at("k"), "v");
  EXPECT_EQ(parsed->config.stop_signal, "SIGQUIT");
  EXPECT_EQ(parsed->diff_ids.size(), 1u);
  auto error = [](const std::string& text) { return std::string(ParseConfig(text).status().message()); };
  EXPECT_THAT(error(R"({"config":{"Env":"A=1"},"rootfs":{"diff_ids":[]}})"), HasSubstr("'Env'"));
  EXPECT_THAT(error(R"({"config":{"User":7},"rootfs":{"diff_ids":[]}})"), HasSubstr("'User'"));
  EXPECT_THAT(error(R"({"config":{}})"), HasSubstr("rootfs"));
  EXPECT_THAT(error(R"({"rootfs":{"diff_ids":["../x"]}})"), HasSubstr("diff_id"));
  EXPECT_THAT(error(R"({"os":"windows","rootfs":{"diff_ids":[]}})"), HasSubstr("not linux"));
  EXPECT_THAT(error("[]"), HasSubstr("not an object"));
  EXPECT_THAT(error(nlohmann::json({{"config", {{"Env", {std::string(70000, 'x')}}}},
                                    {"rootfs", {{"diff_ids", nlohmann::json::array()}}}})
                        .dump()),
              HasSubstr("70000 bytes"));
}

TEST(Challenges, AreReadAsRegistriesWriteThem) {
  const auto one = ParseChallenges(
      R"(Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push")");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].scheme, "bearer");
  EXPECT_EQ(one[0].parameters.at("realm"), "https://auth.example/token");
  EXPECT_EQ(one[0].parameters.at("scope"), "repository:a/b:pull,push");
  const auto two = ParseChallenges("Negotiate, Basic realm=x, Bearer realm=\"a\\\"b\"");
  ASSERT_EQ(two.size(), 3u);
  EXPECT_EQ(two[1].scheme, "basic");
  EXPECT_EQ(two[2].parameters.at("realm"), "a\"b");
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges("=\"=,,,").empty());
}

TEST(Urls, AreShownWithoutSecretsAndComparedByOrigin) {
  EXPECT_EQ(ShownUrl("https://user:pw@h.example/p?sig=secret"), "https://h.example/p");
  EXPECT_EQ(OriginOf("https://H.example/x"), OriginOf("https://h.example:443/y"));
  EXPECT_NE(OriginOf("https://h.example/x"), OriginOf("http://h.example/x"));
  EXPECT_NE(OriginOf("https://h.example/x"), OriginOf("https://h.example.evil/x"));
}

TEST(Failures, HaveOneLinePerHostAndTheLastOnesCode) {
  const auto status = JoinFailures("pull 'x'", {{"https://mirror", absl::UnavailableError("refused")},
                                                {"https://up", absl::NotFoundError("404 not found")}});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "pull 'x':\nhttps://mirror: refused\nhttps://up: 404 not found");
  EXPECT_EQ(StatusOfReply(401, "").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(StatusOfReply(403, "").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(StatusOfReply(503, "").code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(StatusOfReply(404, R"({"errors":[{"message":"manifest unknown"}]})").message()),
              HasSubstr("manifest unknown"));
}

}  // namespace
}  // namespace berth::image
