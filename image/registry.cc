// SPDX-License-Identifier: Apache-2.0
#include "image/registry.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/status.h"
#include "image/digest.h"

namespace berth::image {
namespace {

constexpr int kAttempts = 4;  // of one host, in a row without a byte of progress

// Errors for which another host or attempt is no remedy.
bool Final(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status) ||
         base::ErrnoOf(status).has_value();
}

}  // namespace

struct Registry::BlobProgress {
  std::uint64_t received = 0;
  Sha256 hash;
  std::function<absl::Status(std::string_view)> sink;
  absl::Status sink_status;
};

Registry::Registry(Reference reference, std::vector<RegistryHost> hosts, std::optional<PullAuth> auth,
                   std::function<bool()> cancelled)
    : reference_(std::move(reference)),
      hosts_(std::move(hosts)),
      auth_(std::move(auth)),
      cancelled_(std::move(cancelled)) {}

std::string Registry::UrlOf(const RegistryHost& host, const std::string& kind,
                            const std::string& what) const {
  std::string url = absl::StrCat(host.BaseUrl(), "/", reference_.path, "/", kind, "/", what);
  // A mirror of several registries learns from this which one is meant.
  if (host.mirror) absl::StrAppend(&url, "?ns=", UrlEncode(reference_.domain));
  return url;
}

absl::Status JoinFailures(const std::string& what,
                          const std::vector<std::pair<std::string, absl::Status>>& failures) {
  if (failures.empty())
    return absl::FailedPreconditionError(absl::StrCat(what, ": no configured host may be asked"));
  if (failures.size() == 1)
    return base::Annotate(failures[0].second, absl::StrCat(what, ": ", failures[0].first));
  std::vector<std::string> lines;
  for (const auto& [host, status] : failures) lines.push_back(absl::StrCat(host, ": ", status.message()));
  return absl::Status(failures.back().second.code(), absl::StrCat(what, ":\n", absl::StrJoin(lines, "\n")));
}

absl::StatusOr<FetchedManifest> Registry::Resolve() {
  std::vector<std::pair<std::string, absl::Status>> failures;
  for (const auto& host : hosts_) {
    // A mirror without the capability may be asked for content by digest, never what a tag means.
    if (reference_.digest.empty() ? !host.resolve : !host.pull && !host.resolve) continue;
    auto manifest = ManifestFrom(host, reference_.Wanted());
    if (manifest.ok() && !reference_.digest.empty() && manifest->digest != reference_.digest) {
      manifest = absl::DataLossError(absl::StrCat("manifest has digest '", manifest->digest,
                                                  "', asked for was '", reference_.digest, "'"));
    }
    if (manifest.ok() || Final(manifest.status())) return manifest;
    failures.emplace_back(host.Origin(), manifest.status());
    const std::lock_guard lock(mutex_);
    troubled_.insert(host.Origin());
  }
  return JoinFailures(absl::StrCat("pull '", reference_.ToString(), "'"), failures);
}

absl::StatusOr<FetchedManifest> Registry::Manifest(const std::string& digest, std::uint64_t size) {
  std::vector<std::pair<std::string, absl::Status>> failures;
  for (const auto& host : hosts_) {
    if (!host.pull) continue;
    auto manifest = ManifestFrom(host, digest);
    if (manifest.ok() && manifest->digest != digest) {
      manifest = absl::DataLossError(
          absl::StrCat("manifest has digest '", manifest->digest, "', asked for was '", digest, "'"));
    } else if (manifest.ok() && size != 0 && manifest->body.size() != size) {
      manifest = absl::DataLossError(absl::StrCat("manifest '", digest, "' has ", manifest->body.size(),
                                                  " bytes, the index says ", size));
    }
    if (manifest.ok() || Final(manifest.status())) return manifest;
    failures.emplace_back(host.Origin(), manifest.status());
  }
  return JoinFailures(absl::StrCat("manifest '", digest, "'"), failures);
}

absl::StatusOr<FetchedManifest> Registry::ManifestFrom(const RegistryHost& host, const std::string& wanted) {
  HttpRequest request;
  request.url = UrlOf(host, "manifests", wanted);
  request.headers.push_back(absl::StrCat("Accept: ", absl::StrJoin(ManifestMediaTypes(), ", ")));
  request.cap = kMaxManifestSize;
  BERTH_ASSIGN_OR_RETURN(auto response, Send(host, std::move(request)));
  if (response.status != 200) return StatusOfReply(response.status, response.body);
  FetchedManifest manifest;
  manifest.digest = DigestOf(response.body);
  const std::string stated = response.Header("docker-content-digest");
  if (IsDigest(stated) && stated != manifest.digest) {
    return absl::DataLossError(
        absl::StrCat("manifest has digest '", manifest.digest, "', the server says '", stated, "'"));
  }
  manifest.media_type = response.Header("content-type");
  manifest.media_type = manifest.media_type.substr(0, manifest.media_type.find(';'));
  manifest.body = std::move(response.body);
  return manifest;
}

absl::Status Registry::Blob(const Descriptor& blob,
                            const std::function<absl::Status(std::string_view)>& sink) {
  BlobProgress progress;
  progress.sink = sink;
  std::vector<std::pair<std::string, absl::Status>> failures;
  for (const auto& host : hosts_) {
    if (!host.pull) continue;
    absl::Status status;
    int attempts = kAttempts;
    if (&host != &hosts_.back()) {
      const std::lock_guard lock(mutex_);
      if (troubled_.contains(host.Origin())) attempts = 1;
    }
    for (int attempt = 0; attempt < attempts;) {
      const std::uint64_t before = progress.received;
      status = BlobFrom(host, blob, progress);
      if (!progress.sink_status.ok()) return progress.sink_status;
      if (status.ok() || Final(status)) return status;
      if (absl::IsDataLoss(status)) break;  // wrong bytes went down already, or the server answers nonsense
      if (!absl::IsUnavailable(status)) break;  // it will say the same again
      attempt = progress.received > before ? 0 : attempt + 1;
      for (int wait = 0; attempt < attempts && wait < (attempt << 1) && !Cancelled(); ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      if (Cancelled()) return absl::CancelledError("pull cancelled");
    }
    failures.emplace_back(host.Origin(), status);
    {
      const std::lock_guard lock(mutex_);
      troubled_.insert(host.Origin());
    }
    // Bytes that turned out wrong cannot be taken back from the sink.
    if (absl::IsDataLoss(status) && progress.received > 0) break;
  }
  return JoinFailures(absl::StrCat("blob '", blob.digest, "'"), failures);
}

absl::Status Registry::BlobFrom(const RegistryHost& host, const Descriptor& blob, BlobProgress& progress) {
  HttpRequest request;
  request.url = UrlOf(host, "blobs", blob.digest);
  request.offset = progress.received;
  request.timeout_seconds = 0;
  std::uint64_t skip = 0;
  bool begun = false;
  request.sink = [&](const HttpResponse& head, std::string_view data) -> absl::Status {
    if (!begun) {
      begun = true;
      if (head.status == 206) {
        const std::string range = head.Header("content-range");
        if (!range.starts_with(absl::StrCat("bytes ", progress.received, "-")))
          return absl::DataLossError(absl::StrCat("asked to go on at byte ", progress.received, ", got '",
                                                  range.substr(0, 60), "'"));
      } else {
        skip = progress.received;  // it knows no ranges: what came before comes again
      }
    }
    const std::size_t again = std::min<std::uint64_t>(skip, data.size());
    skip -= again;
    data.remove_prefix(again);
    if (data.empty()) return absl::OkStatus();
    if (progress.received + data.size() > blob.size) {
      return absl::DataLossError(absl::StrCat("blob '", blob.digest, "' is longer than the ", blob.size,
                                              " bytes its manifest says"));
    }
    BERTH_FAULT_POINT("image.blob.chunk");
    progress.hash.Update(data);
    progress.received += data.size();
    progress.sink_status = progress.sink(data);
    return progress.sink_status;
  };
  if (progress.received < blob.size || blob.size == 0) {
    BERTH_ASSIGN_OR_RETURN(const auto response, Send(host, std::move(request)));
    if (response.status != 200 && response.status != 206)
      return StatusOfReply(response.status, response.body);
  }
  if (progress.received < blob.size) {
    return absl::UnavailableError(absl::StrCat("blob '", blob.digest, "' ended after ", progress.received,
                                               " of ", blob.size, " bytes"));
  }
  const std::string digest = progress.hash.Digest();
  if (digest != blob.digest)
    return absl::DataLossError(absl::StrCat("blob '", blob.digest, "' has digest '", digest, "'"));
  return absl::OkStatus();
}

}  // namespace berth::image
