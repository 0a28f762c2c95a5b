// SPDX-License-Identifier: Apache-2.0
// A repository at its registry and mirrors: manifests and blobs, verified. One object per pull; thread safe,
// so that layers can be fetched side by side.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/hosts.h"
#include "image/http.h"
#include "image/image.h"
#include "image/manifest.h"
#include "image/reference.h"

namespace berth::image {

struct FetchedManifest {
  std::string body, media_type, digest;  // the digest is of the body
};

class Registry {
 public:
  Registry(Reference reference, std::vector<RegistryHost> hosts, std::optional<PullAuth> auth,
           std::function<bool()> cancelled);

  // The manifest that the reference names, asked of each host in turn.
  absl::StatusOr<FetchedManifest> Resolve();
  // A manifest by digest; `size` is checked too unless it is 0.
  absl::StatusOr<FetchedManifest> Manifest(const std::string& digest, std::uint64_t size);
  // A blob, streamed. A broken connection is resumed where it broke, on the same host or the next. The sink
  // sees each byte once; only OK means that digest and size were right.
  absl::Status Blob(const Descriptor& blob, const std::function<absl::Status(std::string_view)>& sink);

  // Blobs that other callers of the same pull cancel too.
  void set_cancelled(std::function<bool()> cancelled) { cancelled_ = std::move(cancelled); }

 private:
  struct BlobProgress;

  absl::StatusOr<FetchedManifest> ManifestFrom(const RegistryHost& host, const std::string& wanted);
  absl::Status BlobFrom(const RegistryHost& host, const Descriptor& blob, BlobProgress& progress);
  // Sends with what authorises us, answers a challenge once, follows redirects.
  absl::StatusOr<HttpResponse> Send(const RegistryHost& host, HttpRequest request);
  absl::StatusOr<std::string> Authorize(const RegistryHost& host, const HttpResponse& response);
  absl::StatusOr<std::string> FetchToken(const RegistryHost& host,
                                         const std::map<std::string, std::string>& challenge);
  bool MayUseCredentials(const RegistryHost& host) const;
  bool Cancelled() const { return cancelled_ && cancelled_(); }
  std::string UrlOf(const RegistryHost& host, const std::string& kind, const std::string& what) const;

  const Reference reference_;
  const std::vector<RegistryHost> hosts_;
  const std::optional<PullAuth> auth_;
  std::function<bool()> cancelled_;
  std::mutex mutex_;
  std::set<std::string> troubled_;  // origins that failed; others are not kept waiting for them again
  std::map<std::string, std::string> authorization_;  // by origin: the header's value; dies with the pull
};

// A status from an HTTP reply that is no success. Pure.
absl::Status StatusOfReply(int status, std::string_view body);
// One line per host tried. The code is that of the host that has the last word.
absl::Status JoinFailures(const std::string& what,
                          const std::vector<std::pair<std::string, absl::Status>>& failures);

}  // namespace berth::image
