// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/registry.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {
namespace {
std::string RawManifest(const std::string& repository) {
  return MustRun({"skopeo", "--insecure-policy", "inspect", "--raw", "--tls-verify=false",
                  "docker://" + Registry::Address() + "/" + repository});
}
}  // namespace

Registry::Registry(std::string dir, std::string images_dir)
    : dir_(std::move(dir)), images_dir_(std::move(images_dir)) {}

void Registry::Start() {
  MakeDirs(data_dir());
  // Without a cache of blob descriptors a damaged blob is served as it is on disk.
  WriteFile(dir_ + "/config.yml",
            "version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: " + dir_ +
                "/data}\n  delete: {enabled: true}\nhttp: {addr: '" + Address() + "'}\n");
  program_.Start({"docker-registry", "serve", dir_ + "/config.yml"}, dir_ + "/registry.log",
                 PlainEnvironment());
  WaitFor("docker-registry on " + Address(), [&] {
    if (!program_.Running())
      throw TestError("docker-registry ended: " + TryReadFile(dir_ + "/registry.log").value_or(""));
    return RunProgram({"curl", "-sf", "http://" + Address() + "/v2/"}).exit_code == 0;
  });
}

void Registry::Push(const std::string& name, const std::string& repository,
                    const std::vector<std::string>& more) {
  std::vector<std::string> argv{"skopeo", "--insecure-policy",      "copy", "-q",
                                "--all",  "--dest-tls-verify=false"};
  argv.insert(argv.end(), more.begin(), more.end());
  argv.push_back("oci-archive:" + images_dir_ + "/" + name + ".oci.tar");
  argv.push_back("docker://" + Address() + "/" + repository);
  MustRun(argv);
}

void Registry::DamageBlob(const std::string& digest) {
  const std::string hash = digest.substr(digest.find(':') + 1);
  const std::string path =
      dir_ + "/data/docker/registry/v2/blobs/sha256/" + hash.substr(0, 2) + "/" + hash + "/data";
  std::string bytes = ReadFile(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
  WriteFile(path, bytes);
}

std::string Registry::ManifestDigest(const std::string& repository) {
  return Trim(MustRun({"skopeo", "--insecure-policy", "inspect", "--format", "{{.Digest}}",
                       "--tls-verify=false", "docker://" + Address() + "/" + repository}));
}

std::string Registry::LayerDigest(const std::string& repository, size_t index) {
  return nlohmann::json::parse(RawManifest(repository)).at("layers").at(index).at("digest");
}

void WriteHosts(const std::string& certs_dir, const std::string& host,
                const std::vector<std::string>& mirrors) {
  MakeDirs(certs_dir + "/" + host);
  std::string text = "server = \"" + mirrors.back() + "\"\n";
  for (const std::string& mirror : mirrors) {
    text += "\n[host.\"" + mirror + "\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
  }
  WriteFile(certs_dir + "/" + host + "/hosts.toml", text);
}

}  // namespace berth::e2e
