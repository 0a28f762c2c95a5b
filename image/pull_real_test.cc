// SPDX-License-Identifier: Apache-2.0
// Pulls over HTTP on loopback: from a registry that misbehaves as told, and from Debian's docker-registry.
// Needs root.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/process.h"
#include "image/fake_registry.h"
#include "image/fake_store.h"
#include "image/image.h"
#include "image/layout.h"
#include "image/manifest.h"
#include "image/overlay.h"
#include "image/test_archive.h"

namespace berth::image {
namespace {

using testing::FakeRegistry;
using ::testing::HasSubstr;
using testing::MakeImage;
using ::testing::Not;
using testing::OciLayout;
using testing::TempDir;
using testing::TestImage;
using Reply = FakeRegistry::Reply;
using Request = FakeRegistry::Request;

TestImage Small(const std::string& content = "one") {
  return MakeImage({{{.name = "./", .type = '5', .mode = 0755}, {.name = "file", .content = content}},
                    {{.name = "second", .content = content + "2"}}});
}

class PullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces, mounts";
    auto images = Images::Open({layout_.root(), dir_.path() + "/certs.d", BERTH_UNPACK, &store_});
    ASSERT_TRUE(images.ok()) << images.status();
    images_ = *std::move(images);
  }
  absl::StatusOr<std::string> Pull(const std::string& name, std::optional<PullAuth> auth = std::nullopt) {
    return images_->Pull({name, std::move(auth), nullptr});
  }
  void Configure(const std::string& domain, const std::string& hosts) {
    std::filesystem::create_directories(dir_.path() + "/certs.d/" + domain);
    dir_.Write("certs.d/" + domain + "/hosts.toml", hosts);
  }
  std::size_t Count(const std::string& directory) { return base::ListDir(directory)->size(); }
  void ExpectNothingLeft() {
    EXPECT_TRUE(images_->List().empty());
    EXPECT_EQ(Count(layout_.work()), 0u);
    EXPECT_EQ(Count(layout_.images()), 0u);
    for (int i = 0; i < 250 && Count(layout_.layers()) > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(Count(layout_.layers()), 0u);
  }

  TempDir dir_;
  Layout layout_{dir_.path() + "/root"};
  FakeStore store_;
  std::unique_ptr<Images> images_;
};

// Serves an OCI layout as repository "app", tag "1"; `tamper` may change each reply.
FakeRegistry::Handler Serving(const TestImage& image,
                              std::function<void(const Request&, Reply&)> tamper = nullptr) {
  std::string manifest;
  auto files = OciLayout(image, nullptr, &manifest);
  return [files, manifest, tamper](const Request& request) {
    Reply reply;
    const std::string name = request.path.substr(request.path.rfind('/') + 1);
    const std::string digest = name.starts_with("sha256:") ? name : manifest;
    const auto blob = files.find("blobs/sha256/" + HexOf(digest));
    const bool known = request.path.starts_with("/v2/app/") && (name == "1" || name.starts_with("sha256:"));
    if (!known || blob == files.end()) {
      reply.status = 404;
      reply.body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})";
    } else {
      reply.body = blob->second;
      if (request.path.find("/manifests/") != std::string::npos)
        reply.headers["Content-Type"] = "application/vnd.oci.image.manifest.v1+json";
      if (const auto range = request.headers.find("range"); range != request.headers.end()) {
        const std::size_t from = std::stoul(range->second.substr(6));
        reply.status = 206;
        reply.headers["Content-Range"] =
            absl::StrCat("bytes ", from, "-", reply.body.size() - 1, "/", reply.body.size());
        reply.body = reply.body.substr(from);
      }
    }
    if (tamper) tamper(request, reply);
    return reply;
  };
}

TEST_F(PullTest, FetchesVerifiesAndNames) {
  const TestImage image = Small();
  FakeRegistry registry(Serving(image));
  const auto id = Pull(registry.address() + "/app:1");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, image.id());
  const auto found = images_->Find(registry.address() + "/app:1");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->repo_digests.size(), 1u);
  EXPECT_EQ(images_->Find(found->repo_digests[0]), found);
  // Again: the registry is asked, no layer is.
  const std::size_t manifests = registry.Count("/manifests/");
  const std::size_t blobs = registry.Count("/blobs/");
  ASSERT_TRUE(Pull(registry.address() + "/app:1").ok());
  EXPECT_GT(registry.Count("/manifests/"), manifests);
  EXPECT_EQ(registry.Count("/blobs/"), blobs + 1) << "only the config is fetched again";
  // By digest: no tag is made up.
  ASSERT_TRUE(images_->Remove(*id).ok());
  ASSERT_TRUE(Pull(found->repo_digests[0]).ok());
  EXPECT_TRUE(images_->Find(*id)->repo_tags.empty());
}

TEST_F(PullTest, ParallelPullsOfOneImageAreOneJob) {
  FakeRegistry registry(Serving(Small(), [](const Request& request, Reply&) {
    if (request.path.find("/blobs/") != std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }));
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&] { good += Pull(registry.address() + "/app:1").ok() ? 1 : 0; });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(good, 8);
  EXPECT_LE(registry.Count("/blobs/"), 6u)
      << "two layers and one config, and at most one more round for a late caller";
}

TEST_F(PullTest, WrongBytesAreNamedAndLeaveNothing) {
  const TestImage image = Small();
  const std::string layer = testing::Gzip(image.layers[1]);
  for (const bool longer : {false, true}) {
    FakeRegistry registry(Serving(image, [&](const Request& request, Reply& reply) {
      if (request.path.find(DigestOf(layer)) == std::string::npos) return;
      if (longer)
        reply.body += "more";
      else
        reply.body[reply.body.size() / 2] ^= 1;
    }));
    const auto id = Pull(registry.address() + "/app:1");
    ASSERT_FALSE(id.ok());
    EXPECT_THAT(std::string(id.status().message()), HasSubstr(DigestOf(layer)));
    EXPECT_THAT(std::string(id.status().message()), HasSubstr("layer 2 of 2"));
    ExpectNothingLeft();
  }
}

TEST_F(PullTest, AWrongManifestIsRefused) {
  const TestImage image = Small();
  std::string manifest;
  OciLayout(image, nullptr, &manifest);
  FakeRegistry registry(Serving(image, [](const Request& request, Reply& reply) {
    if (request.path.find("/manifests/") != std::string::npos) reply.body += " ";
  }));
  const auto id = Pull(registry.address() + "/app@" + manifest);
  EXPECT_EQ(id.status().code(), absl::StatusCode::kDataLoss) << id.status();
  EXPECT_THAT(std::string(id.status().message()), HasSubstr(manifest));
  ExpectNothingLeft();
}

TEST_F(PullTest, ABrokenConnectionIsResumedWhereItBroke) {
  const TestImage image =
      MakeImage({{{.name = "big", .content = std::string(1 << 20, 'x') + base::NewId()}}});
  std::atomic<int> breaks{0};
  const std::string layer = DigestOf(testing::Gzip(image.layers[0]));
  FakeRegistry registry(Serving(image, [&](const Request& request, Reply& reply) {
    if (request.path.find(layer) != std::string::npos && breaks < 3) {
      ++breaks;
      reply.cut_after = reply.body.size() / 2;
    }
  }));
  const auto id = Pull(registry.address() + "/app:1");
  ASSERT_TRUE(id.ok()) << id.status();
  int ranged = 0;
  for (const auto& request : registry.requests()) ranged += request.headers.contains("range") ? 1 : 0;
  EXPECT_EQ(ranged, 3);
}

TEST_F(PullTest, AServerWithoutRangesStartsOverAndTheResultIsRight) {
  const TestImage image = Small(std::string(100000, 'y') + base::NewId());
  std::atomic<int> breaks{0};
  const auto files = OciLayout(image, nullptr);
  const std::string layer = DigestOf(testing::Gzip(image.layers[0]));
  FakeRegistry registry(Serving(image, [&](const Request& request, Reply& reply) {
    if (request.path.find(layer) == std::string::npos) return;
    reply.status = 200;
    reply.headers.erase("Content-Range");
    reply.body = files.at("blobs/sha256/" + HexOf(layer));
    if (breaks++ == 0) reply.cut_after = reply.body.size() / 2;
  }));
  const auto id = Pull(registry.address() + "/app:1");
  EXPECT_TRUE(id.ok()) << id.status();
}

TEST_F(PullTest, AMirrorIsTriedFirstAndEachFailureHasItsLine) {
  const TestImage image = Small();
  FakeRegistry good(Serving(image));
  FakeRegistry broken([](const Request&) { return Reply{.status = 503}; });
  Configure("registry.example",
            absl::StrCat("server = \"http://127.0.0.1:1\"\n[host.\"http://", broken.address(),
                         "\"]\n[host.\"http://", good.address(), "\"]\n"));
  const auto id = Pull("registry.example/app:1");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_NE(images_->Find("registry.example/app:1"), nullptr);
  EXPECT_GT(broken.requests().size(), 0u);
  for (const auto& request : good.requests()) EXPECT_EQ(request.query, "ns=registry.example");

  const auto missing = Pull("registry.example/app:2");
  const std::string message(missing.status().message());
  EXPECT_THAT(message, HasSubstr("http://" + broken.address() + ": 503"));
  EXPECT_THAT(message, HasSubstr("http://" + good.address() + ": 404"));
  EXPECT_THAT(message, HasSubstr("http://127.0.0.1:1: "));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kUnavailable)
      << "the registry itself has the last word";
}

TEST_F(PullTest, AnUnknownManifestIsNotFound) {
  FakeRegistry registry(Serving(Small()));
  const auto id = Pull(registry.address() + "/app:nope");
  EXPECT_EQ(id.status().code(), absl::StatusCode::kNotFound) << id.status();
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("manifest unknown"));
  EXPECT_EQ(Pull("UPPER").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PullTest, AnswersABearerChallengeAndKeepsTheTokenAtHome) {
  const TestImage image = Small();
  FakeRegistry elsewhere(Serving(image));
  std::string address;
  FakeRegistry registry([&, serve = Serving(image)](const Request& request) -> Reply {
    if (request.path == "/token") return {.body = R"({"token":"t0ken"})"};
    const auto authorization = request.headers.find("authorization");
    if (authorization == request.headers.end() || authorization->second != "Bearer t0ken") {
      return {.status = 401,
              .headers = {{"WWW-Authenticate", "Bearer realm=\"http://" + address +
                                                   "/token\",service=\"s\",scope=\"repository:app:pull\""}}};
    }
    if (request.path.find("/blobs/") != std::string::npos)
      return {.status = 307,
              .headers = {{"Location", "http://" + elsewhere.address() + request.path + "?sig=1"}}};
    return serve(request);
  });
  address = registry.address();
  PullAuth auth;
  auth.username = "user";
  auth.password = "pass";
  const auto id = Pull(registry.address() + "/app:1", auth);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(elsewhere.requests().size(), 3u);
  for (const auto& request : elsewhere.requests())
    EXPECT_FALSE(request.headers.contains("authorization")) << request.path;
  bool basic = false;
  for (const auto& request : registry.requests()) {
    if (request.path == "/token") {
      basic = request.headers.contains("authorization") &&
              request.headers.at("authorization") == "Basic dXNlcjpwYXNz";
      EXPECT_THAT(request.query, HasSubstr("scope=repository%3Aapp%3Apull"));
    }
  }
  EXPECT_TRUE(basic);
}

TEST_F(PullTest, BasicCredentialsGoToTheRegistryAndToNoMirror) {
  const TestImage image = Small();
  auto guarded = [serve = Serving(image)](const Request& request) -> Reply {
    const auto authorization = request.headers.find("authorization");
    if (authorization == request.headers.end())
      return {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"r\""}}};
    if (authorization->second != "Basic dXNlcjpwYXNz") return {.status = 403};
    return serve(request);
  };
  FakeRegistry mirror(guarded);
  FakeRegistry registry(guarded);
  Configure(registry.address(), absl::StrCat("server = \"http://", registry.address(), "\"\n[host.\"http://",
                                             mirror.address(), "\"]\n"));
  PullAuth auth;
  auth.username = "user";
  auth.password = "pass";
  const auto id = Pull(registry.address() + "/app:1", auth);
  ASSERT_TRUE(id.ok()) << id.status();
  for (const auto& request : mirror.requests()) EXPECT_FALSE(request.headers.contains("authorization"));
  EXPECT_EQ(Pull(registry.address() + "/app:1").status().code(), absl::StatusCode::kUnauthenticated);
  auth.password = "wrong";
  const auto wrong = Pull(registry.address() + "/app:1", auth);
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(wrong.status().message()), Not(HasSubstr("wrong")));
}

TEST_F(PullTest, ACancelledPullEndsSoonAndLeavesNothing) {
  std::atomic<bool> cancel{false};
  std::promise<void> ended;
  std::shared_future<void> end = ended.get_future().share();
  FakeRegistry registry(Serving(Small(), [&](const Request& request, Reply&) {
    if (request.path.find("/blobs/") == std::string::npos) return;
    cancel = true;
    end.wait();  // no byte comes: only the cancellation can end this pull
  }));
  const auto id = images_->Pull({registry.address() + "/app:1", std::nullopt, [&] { return cancel.load(); }});
  ended.set_value();
  EXPECT_EQ(id.status().code(), absl::StatusCode::kCancelled) << id.status();
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("in stage 'manifest and config'"))
      << "how far it came";
  images_.reset();
  EXPECT_EQ(Count(layout_.work()), 0u);
  EXPECT_EQ(Count(layout_.layers()), 0u);
}

TEST_F(PullTest, AnIndexLeadsToThisMachinesImage) {
  const TestImage image = Small();
  std::string manifest;
  auto files = OciLayout(image, nullptr, &manifest);
  const std::size_t size = files.at("blobs/sha256/" + HexOf(manifest)).size();
  const nlohmann::json index = {{"schemaVersion", 2},
                                {"mediaType", "application/vnd.docker.distribution.manifest.list.v2+json"},
                                {"manifests", nlohmann::json::array()}};
  auto full = index;
  full["manifests"].push_back({{"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                               {"digest", "sha256:" + std::string(64, '0')},
                               {"size", 3},
                               {"platform", {{"os", "linux"}, {"architecture", "s390x"}}}});
  full["manifests"].push_back(
      {{"mediaType", "application/vnd.oci.image.manifest.v1+json"},
       {"digest", manifest},
       {"size", size},
       {"platform", {{"os", "linux"}, {"architecture", HostPlatform().architecture}}}});
  FakeRegistry registry(Serving(image, [&](const Request& request, Reply& reply) {
    if (request.path.ends_with("/manifests/1"))
      reply.body = full.dump(), reply.headers["Content-Type"] = full["mediaType"];
  }));
  const auto id = Pull(registry.address() + "/app:1");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(images_->Find(*id)->repo_digests[0], registry.address() + "/app@" + DigestOf(full.dump()))
      << "the digest is the index's, as it was asked for";
}

// Debian's docker-registry on a port of its own choice, filled by skopeo.
class DockerRegistry {
 public:
  explicit DockerRegistry(const TempDir& dir) : storage_(dir.path() + "/registry") {
    const std::string config =
        dir.Write("registry.yml", "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: " +
                                      storage_ + "}}\nhttp: {addr: '127.0.0.1:0'}\n");
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    base::UniqueFd read(ends[0]);
    base::UniqueFd write(ends[1]);
    base::SpawnOptions spawn;
    spawn.argv = {"/usr/bin/docker-registry", "serve", config};
    spawn.env = {"PATH=/usr/bin", "OTEL_TRACES_EXPORTER=none"};
    spawn.fds = {{write.get(), 2}, {write.get(), 1}};
    auto child = base::Spawn(spawn);
    if (!child) return;
    child_ = std::move(*child);
    write.Reset();
    // It says where it listens.
    std::string text;
    char c = 0;
    while (::read(read.get(), &c, 1) == 1) {
      text += c;
      const auto at = text.find("listening on 127.0.0.1:");
      if (at != std::string::npos && c == '"') {
        address_ = text.substr(at + 13);
        address_.pop_back();
        break;
      }
    }
    drain_ = std::thread([fd = std::move(read)] {
      char buffer[4096];
      while (::read(fd.get(), buffer, sizeof buffer) > 0) {
      }
    });
  }
  ~DockerRegistry() {
    if (child_.pidfd) {
      (void)base::PidfdSignal(child_.pidfd.get(), SIGKILL);
      (void)base::WaitChild(child_);
    }
    if (drain_.joinable()) drain_.join();
  }
  const std::string& address() const { return address_; }
  bool Push(const TestImage& image, const std::string& name, const TempDir& dir) {
    const std::string layout = dir.path() + "/push-" + base::ShortId(base::NewId());
    std::filesystem::create_directories(layout + "/blobs/sha256");
    for (const auto& [path, content] : OciLayout(image, {{"org.opencontainers.image.ref.name", "t"}}))
      std::ofstream(layout + "/" + path, std::ios::binary) << content;
    base::SpawnOptions spawn;
    spawn.argv = {"/usr/bin/skopeo",
                  "copy",
                  "--insecure-policy",
                  "--dest-tls-verify=false",
                  "-q",
                  "oci:" + layout + ":t",
                  "docker://" + address_ + "/" + name};
    spawn.env = {"PATH=/usr/bin:/bin", "HOME=" + dir.path(), "TMPDIR=/tmp"};
    const auto result = base::RunCommand(spawn, "", base::Deadline::After(60 * base::kSecondNs));
    EXPECT_TRUE(result.ok() && result->status.ShellCode() == 0)
        << (result.ok() ? result->err : result.error().Message());
    return result.ok() && result->status.ShellCode() == 0;
  }
  std::string BlobFile(const std::string& digest) const {
    return storage_ + "/docker/registry/v2/blobs/sha256/" + HexOf(digest).substr(0, 2) + "/" + HexOf(digest) +
           "/data";
  }

 private:
  const std::string storage_;
  base::Child child_;
  std::string address_;
  std::thread drain_;
};

TEST_F(PullTest, PullsFromARealRegistryAndMountsTheResult) {
  if (!base::Exists("/usr/bin/docker-registry") || !base::Exists("/usr/bin/skopeo"))
    GTEST_SKIP() << "needs docker-registry and skopeo";
  DockerRegistry registry(dir_);
  ASSERT_NE(registry.address(), "");
  const TestImage image = Small("real");
  ASSERT_TRUE(registry.Push(image, "team/app:2", dir_));
  const auto id = Pull(registry.address() + "/team/app:2");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, image.id());
  const std::string container = base::NewId();
  const auto rootfs = images_->PrepareRootfs(container, *id);
  ASSERT_TRUE(rootfs.ok()) << rootfs.status();
  EXPECT_EQ(*base::ReadFile(rootfs->path + "/file"), "real");
  EXPECT_EQ(*base::ReadFile(rootfs->path + "/second"), "real2");
  EXPECT_TRUE(images_->RemoveRootfs(container).ok());
  ASSERT_TRUE(images_->Remove(*id).ok());

  // A file that rotted in the registry.
  const TestImage rotten = Small("rotten");
  ASSERT_TRUE(registry.Push(rotten, "team/app:3", dir_));
  std::string digest;
  for (const auto& [path, content] : OciLayout(rotten, nullptr)) {
    if (content == testing::Gzip(rotten.layers[0])) digest = DigestOf(content);
  }
  auto data = base::ReadFile(registry.BlobFile(digest));
  ASSERT_TRUE(data.ok());
  (*data)[data->size() / 2] ^= 1;
  ASSERT_TRUE(base::WriteFile(registry.BlobFile(digest), *data).ok());
  const auto bad = Pull(registry.address() + "/team/app:3");
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr(digest));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace berth::image
