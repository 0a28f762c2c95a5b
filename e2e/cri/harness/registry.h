// SPDX-License-Identifier: Apache-2.0
// Debian's docker-registry on loopback, filled by skopeo from what e2e/images/build made.
#pragma once

#include <string>

#include "e2e/cri/harness/process.h"

namespace berth::e2e {

class Registry {
 public:
  // Data below `dir`; the images' archives lie in `images_dir`.
  Registry(std::string dir, std::string images_dir);

  void Start();
  // Pushes the archive `name`.oci.tar as `repository` ("busybox:1"); `more`: further options of skopeo copy.
  void Push(const std::string& name, const std::string& repository,
            const std::vector<std::string>& more = {});
  // Deletes nothing: overwrites one byte in the middle of a blob that was pushed, as a broken disk or proxy
  // would.
  void DamageBlob(const std::string& digest);
  // Digest of the manifest that `repository` has now, and the digest of its layer number `index`.
  std::string ManifestDigest(const std::string& repository);
  std::string LayerDigest(const std::string& repository, size_t index);
  bool Running() { return program_.Running(); }
  void Stop() { program_.Kill(); }
  pid_t pid() const { return program_.pid(); }
  std::string data_dir() const { return dir_ + "/data"; }

  static std::string Address() { return "127.0.0.1:5000"; }
  // The name under which the runtime knows it: only a hosts.toml leads from there to the address.
  static std::string Host() { return "registry.test"; }
  static std::string Name(const std::string& repository) { return Host() + "/" + repository; }

 private:
  std::string dir_;
  std::string images_dir_;
  Program program_;
};

// certs.d/<host>/hosts.toml for `host`, with these mirrors in order, plain HTTP allowed.
void WriteHosts(const std::string& certs_dir, const std::string& host,
                const std::vector<std::string>& mirrors);

}  // namespace berth::e2e
