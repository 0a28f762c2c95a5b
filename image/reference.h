// SPDX-License-Identifier: Apache-2.0
// Image names: parsed by the distribution grammar, normalised as people expect ("busybox" is
// docker.io/library/busybox:latest). Pure functions of untrusted text.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace berth::image {

struct Reference {
  std::string domain;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;    // "library/busybox"
  std::string tag;     // "" when only a digest was given
  std::string digest;  // "sha256:…" or ""

  std::string Name() const { return domain + "/" + path; }
  // Names as they are stored and shown; "" when there is no tag, or no digest.
  std::string Tagged() const { return tag.empty() ? "" : Name() + ":" + tag; }
  std::string Digested() const { return digest.empty() ? "" : Name() + "@" + digest; }
  // What a registry is asked for: the digest if there is one.
  std::string Wanted() const { return digest.empty() ? tag : digest; }
  std::string ToString() const;
};

// INVALID_ARGUMENT names the part that is wrong. The tag `latest` is added when there is neither tag nor
// digest.
absl::StatusOr<Reference> ParseReference(std::string_view text);

bool IsTag(std::string_view text);

}  // namespace berth::image
