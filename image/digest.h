// SPDX-License-Identifier: Apache-2.0
// SHA-256 digests as registries write them: "sha256:" and 64 lower-case hex digits. OpenSSL's EVP underneath.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace berth::image {

// Is it exactly "sha256:" + 64 lower-case hex digits? Only such text may become part of a path.
bool IsDigest(std::string_view text);
// The 64 digits of a digest for which IsDigest() holds.
std::string HexOf(std::string_view digest);

// A running hash. Not thread safe; Digest() once, at the end.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void Update(std::string_view data);
  std::string Digest();  // "sha256:…"

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string DigestOf(std::string_view data);

}  // namespace berth::image
