// SPDX-License-Identifier: Apache-2.0
#include "image/puller.h"

#include <atomic>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "image/config.h"
#include "image/digest.h"
#include "image/hosts.h"
#include "image/manifest.h"
#include "image/registry.h"

namespace berth::image {
namespace {

constexpr int kParallelLayers = 4;  // of the whole daemon: two are enough to hide the network, four the disk
constexpr int kParallelPulls = 64;
constexpr int kMaxIndexDepth = 3;

}  // namespace

// One image being fetched, for all who want it. Cancelled when nobody is left.
struct Puller::Job {
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  bool done = false;
  absl::Status status;
  NewImage image;                        // without names
  std::unique_ptr<LayerStore::Pin> pin;  // until the last waiter has committed
  std::atomic<bool> abandoned{false};
  // What it is at and since when, for who leaves.
  std::string stage;
  std::int64_t since_ns = 0;
  void Enter(std::string name) {
    const std::lock_guard lock(mutex);
    stage = std::move(name);
    since_ns = base::MonotonicNs();
  }
};

namespace {

// "131 s, of these 130 s in stage 'layers'"
absl::Status GivenUp(const std::string& what, std::int64_t begun_ns, const std::string& stage,
                     std::int64_t since_ns) {
  const std::int64_t now = base::MonotonicNs();
  return absl::CancelledError(absl::StrCat("pulling '", what, "': ", (now - begun_ns) / base::kSecondNs,
                                           " s, of these ", (now - since_ns) / base::kSecondNs,
                                           " s in stage '", stage, "'; given up, since its caller left"));
}

}  // namespace

Puller::Puller(std::string registry_config, LayerStore* layers, Index* index)
    : registry_config_(std::move(registry_config)),
      layers_(layers),
      index_(index),
      jobs_pool_(kParallelPulls, "berth-pull"),
      layers_pool_(kParallelLayers, "berth-layer") {}

Puller::~Puller() {
  stopping_ = true;
  jobs_pool_.Stop();
  layers_pool_.Stop();
}

absl::StatusOr<std::string> Puller::Pull(const PullRequest& request) {
  BERTH_ASSIGN_OR_RETURN(const auto reference, ParseReference(request.image));
  auto hosts = HostsFor(registry_config_, reference.domain);
  if (!hosts.ok()) return base::WithCode(absl::StatusCode::kFailedPrecondition, hosts.status());
  auto gave_up = [this, &request] { return stopping_ || (request.cancelled && request.cancelled()); };
  // Always asked, also for what is here: it proves that these credentials may have it, and what the tag means
  // today.
  auto registry = std::make_shared<Registry>(reference, *std::move(hosts), request.auth, gave_up);
  const std::int64_t begun_ns = base::MonotonicNs();
  auto asked = registry->Resolve();
  if (!asked.ok() && gave_up()) return GivenUp(reference.ToString(), begun_ns, "ask the registry", begun_ns);
  BERTH_ASSIGN_OR_RETURN(const auto resolved, std::move(asked));
  BERTH_FAULT_POINT("image.pull.resolved");

  // Repository and manifest: another repository might not let us have the same blobs.
  const std::string key = absl::StrCat(reference.Name(), "@", resolved.digest);
  const std::shared_ptr<Job> job = JoinOrStart(key, registry, resolved);
  {
    std::unique_lock lock(job->mutex);
    while (!job->done) {
      if (gave_up()) {
        if (--job->waiting == 0) job->abandoned = true;
        return GivenUp(reference.ToString(), begun_ns, job->stage, job->since_ns);
      }
      job->changed.wait_for(lock, std::chrono::milliseconds(100));
    }
  }
  if (!job->status.ok())
    return base::Annotate(job->status, absl::StrCat("pull '", reference.ToString(), "'"));
  NewImage image = job->image;
  if (!reference.tag.empty() && reference.digest.empty()) image.names.push_back(reference.Tagged());
  Reference digested = reference;
  digested.digest = resolved.digest;
  image.names.push_back(digested.Digested());
  return index_->Put(image);
}

std::shared_ptr<Puller::Job> Puller::JoinOrStart(const std::string& key, std::shared_ptr<Registry> registry,
                                                 const FetchedManifest& resolved) {
  const std::lock_guard lock(mutex_);
  if (const auto running = jobs_.find(key); running != jobs_.end()) {
    const std::lock_guard job_lock(running->second->mutex);
    if (!running->second->abandoned) {
      ++running->second->waiting;
      return running->second;
    }
  }
  auto job = std::make_shared<Job>();
  job->waiting = 1;
  job->stage = "wait for a turn";
  job->since_ns = base::MonotonicNs();
  jobs_[key] = job;
  // From here on the job lives for all who wait, not for the caller that began it.
  registry->set_cancelled([this, raw = job.get()] { return stopping_ || raw->abandoned; });
  const bool accepted = jobs_pool_.Submit([this, key, job, registry, resolved] {
    absl::Status status = Run(*job, *registry, resolved);
    {
      const std::lock_guard pool_lock(mutex_);
      if (const auto mine = jobs_.find(key); mine != jobs_.end() && mine->second == job) jobs_.erase(mine);
    }
    const std::lock_guard job_lock(job->mutex);
    if (!status.ok()) job->pin.reset();  // before the caller asks for what came in vain to be collected
    job->status = std::move(status);
    job->done = true;
    job->changed.notify_all();
  });
  if (!accepted) {
    jobs_.erase(key);
    job->status = absl::UnavailableError("shutting down");
    job->done = true;
  }
  return job;
}

absl::Status Puller::Run(Job& job, Registry& registry, const FetchedManifest& resolved) {
  job.Enter("manifest and config");
  FetchedManifest at = resolved;
  Manifest manifest;
  for (int depth = 0;; ++depth) {
    if (depth > kMaxIndexDepth) return absl::FailedPreconditionError("indexes nested too deep");
    BERTH_ASSIGN_OR_RETURN(manifest, ParseManifest(at.body, at.media_type));
    job.image.manifest_jsons.push_back(at.body);
    if (!manifest.is_index) break;
    BERTH_ASSIGN_OR_RETURN(const auto chosen, ChoosePlatform(manifest, HostPlatform()));
    BERTH_ASSIGN_OR_RETURN(at, registry.Manifest(chosen.digest, chosen.size));
  }
  BERTH_RETURN_IF_ERROR(registry.Blob(manifest.config, [&](std::string_view data) {
    job.image.config_json += data;
    return absl::OkStatus();
  }));
  BERTH_ASSIGN_OR_RETURN(const auto config, ParseConfig(job.image.config_json));
  if (config.diff_ids.size() != manifest.layers.size()) {
    return absl::FailedPreconditionError(absl::StrCat("manifest has ", manifest.layers.size(),
                                                      " layers, the config names ", config.diff_ids.size()));
  }
  if (const Platform host = HostPlatform();
      !config.architecture.empty() && config.architecture != host.architecture) {
    base::LogWarning("image is for another architecture",
                     {{"architecture", config.architecture}, {"host", host.architecture}});
  }
  job.pin = std::make_unique<LayerStore::Pin>(layers_, config.diff_ids);
  job.Enter(absl::StrCat(config.diff_ids.size(), " layers"));
  return FetchLayers(job, registry, manifest, config.diff_ids);
}

absl::Status Puller::FetchLayers(Job& job, Registry& registry, const Manifest& manifest,
                                 const std::vector<std::string>& diff_ids) {
  struct Progress {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t left;
    absl::Status status;  // the first failure
    std::atomic<bool> failed{false};
  } progress;
  progress.left = diff_ids.size();
  auto cancelled = [&] { return progress.failed || job.abandoned || stopping_; };
  auto finish = [&](absl::Status status) {
    const std::lock_guard lock(progress.mutex);
    if (!status.ok() && progress.status.ok()) {
      progress.status = std::move(status);
      progress.failed = true;
    }
    --progress.left;
    progress.changed.notify_all();
  };
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    auto fetch = [&, i] {
      if (cancelled()) return finish(absl::CancelledError("pull cancelled"));
      auto source = [&, i](UnpackWorker& worker) {
        return registry.Blob(manifest.layers[i], [&](std::string_view data) -> absl::Status {
          if (cancelled()) return absl::CancelledError("pull cancelled");
          return worker.Feed(data);
        });
      };
      absl::Status done = layers_->Ensure(diff_ids[i], source, cancelled);
      finish(base::Annotate(done, absl::StrCat("layer ", i + 1, " of ", diff_ids.size())));
    };
    if (!layers_pool_.Submit(fetch)) finish(absl::UnavailableError("shutting down"));
  }
  std::unique_lock lock(progress.mutex);
  progress.changed.wait(lock, [&] { return progress.left == 0; });
  return progress.status;
}

}  // namespace berth::image
