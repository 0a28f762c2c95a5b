// SPDX-License-Identifier: Apache-2.0
#include "image/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace berth::image {
namespace {
constexpr std::string_view kPrefix = "sha256:";
constexpr std::size_t kHexLength = 64;
}  // namespace

bool IsDigest(std::string_view text) {
  if (text.size() != kPrefix.size() + kHexLength || !text.starts_with(kPrefix)) return false;
  return text.substr(kPrefix.size()).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string HexOf(std::string_view digest) { return std::string(digest.substr(kPrefix.size())); }

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  // Fails only without memory or in a crypto library that has no SHA-256: nothing could be verified then.
  if (context_->md == nullptr || EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) != 1) std::abort();
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::string_view data) {
  if (EVP_DigestUpdate(context_->md, data.data(), data.size()) != 1) std::abort();
}

std::string Sha256::Digest() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (EVP_DigestFinal_ex(context_->md, bytes, &length) != 1) std::abort();
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(kPrefix);
  for (unsigned i = 0; i < length; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::string DigestOf(std::string_view data) {
  Sha256 hash;
  hash.Update(data);
  return hash.Digest();
}

}  // namespace berth::image
