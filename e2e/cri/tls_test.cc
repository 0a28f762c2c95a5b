// SPDX-License-Identifier: Apache-2.0
// A registry over HTTPS with a certificate authority of the test's own.
#include <gmock/gmock.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/pod.h"

namespace berth::e2e {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr char kAddress[] = "127.0.0.1:5443";  // the certificate is for this address and for no name

absl::Status Pull(const std::string& reference) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  const auto reply = Cri().PullImage(request);
  if (!reply.ok()) return reply.status();
  cri::RemoveImageRequest remove;
  remove.mutable_image()->set_image(reply->image_ref());
  return Cri().RemoveImage(remove).status();
}

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    BERTH_NEEDS_OWN_DAEMON();
    dir_ = Environment::Get().dir() + "/tls";
    MakeDirs(dir_);
    const auto openssl = [](std::vector<std::string> words) {
      words.insert(words.begin(), "openssl");
      MustRun(words);
    };
    openssl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=authority of a test", "-keyout", dir_ + "/ca.key", "-out", dir_ + "/ca.crt"});
    openssl({"req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=registry of a test", "-keyout",
             dir_ + "/server.key", "-out", dir_ + "/server.csr"});
    WriteFile(dir_ + "/names", "subjectAltName=IP:127.0.0.1\n");
    openssl({"x509", "-req", "-in", dir_ + "/server.csr", "-CA", dir_ + "/ca.crt", "-CAkey", dir_ + "/ca.key",
             "-CAcreateserial", "-days", "2", "-extfile", dir_ + "/names", "-out", dir_ + "/server.crt"});
    Environment::Get().registry().Push("removable", "secure:1");
    // A second server over the same blobs.
    WriteFile(dir_ + "/config.yml",
              "version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: " +
                  Environment::Get().registry().data_dir() + "}\nhttp:\n  addr: '" + kAddress +
                  "'\n  tls: {certificate: " + dir_ + "/server.crt, key: " + dir_ + "/server.key}\n");
    server_.Start({"docker-registry", "serve", dir_ + "/config.yml"}, dir_ + "/registry.log",
                  PlainEnvironment());
    WaitFor("the registry over TLS", [&] {
      if (!server_.Running()) throw TestError("ended: " + ReadFile(dir_ + "/registry.log"));
      return RunProgram({"curl", "-sf", "--cacert", dir_ + "/ca.crt", Url() + "/v2/"}).exit_code == 0;
    });
  }
  static std::string Url() { return "https://" + std::string(kAddress); }
  // hosts.toml of `domain`: `url` is asked, with the lines `more`.
  static std::string Hosts(const std::string& domain, const std::string& url, const std::string& more) {
    const std::string dir = Environment::Get().certs_dir() + "/" + domain;
    MakeDirs(dir);
    WriteFile(dir + "/hosts.toml", "server = \"" + url + "\"\n" + more);
    return dir;
  }

  std::string dir_;
  Program server_;
};

TEST_F(Tls, AnAuthorityThatNobodyKnowsIsRefusedAndOneThatHostsTomlNamesIsTrusted) {
  const std::string certs = Hosts("tls.test", Url(), "");
  const absl::Status unknown = Pull("tls.test/secure:1");
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("certificate"));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("hosts.toml")) << "the remedy";
  EXPECT_THAT(std::string(unknown.message()), HasSubstr(kAddress));
  Hosts("tls.test", Url(), "ca = \"ca.crt\"\n");  // relative to the file
  const absl::Status missing = Pull("tls.test/secure:1");
  EXPECT_THAT(std::string(missing.message()), HasSubstr("ca.crt")) << missing;
  WriteFile(certs + "/ca.crt", ReadFile(dir_ + "/ca.crt"));
  EXPECT_EQ(Pull("tls.test/secure:1"), absl::OkStatus());
}

TEST_F(Tls, AMirrorHasItsOwnAuthority) {
  Hosts("mirrored-tls.test", "https://127.0.0.1:9",
        "[host.\"" + Url() + "\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = [\"" + dir_ +
            "/ca.crt\"]\n");
  EXPECT_EQ(Pull("mirrored-tls.test/secure:1"), absl::OkStatus());
}

TEST_F(Tls, ACertificateForAnotherNameIsRefusedThoughItsAuthorityIsKnown) {
  Hosts("misnamed.test", "https://localhost:5443", "ca = \"" + dir_ + "/ca.crt\"\n");
  const absl::Status status = Pull("misnamed.test/secure:1");
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), AnyOf(HasSubstr("subject name"), HasSubstr("localhost")));
}

TEST_F(Tls, SkipVerifyAsksForNoCertificateAtAllButStillEncrypts) {
  Hosts("unverified.test", Url(), "skip_verify = true\n");
  EXPECT_EQ(Pull("unverified.test/secure:1"), absl::OkStatus());
  Hosts("plain.test", "http://" + std::string(kAddress), "skip_verify = true\n");
  EXPECT_FALSE(Pull("plain.test/secure:1").ok()) << "plain HTTP to a TLS port";
}

}  // namespace
}  // namespace berth::e2e
