// SPDX-License-Identifier: Apache-2.0
// Pulling: resolve at the registry, verify, unpack layers side by side, commit. Thread safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "image/image.h"
#include "image/index.h"
#include "image/layer_store.h"
#include "image/reference.h"
#include "image/registry.h"

namespace berth::image {

class Puller {
 public:
  Puller(std::string registry_config, LayerStore* layers, Index* index);
  ~Puller();  // cancels what runs and waits for it

  // As Images::Pull.
  absl::StatusOr<std::string> Pull(const PullRequest& request);

 private:
  struct Job;

  std::shared_ptr<Job> JoinOrStart(const std::string& key, std::shared_ptr<Registry> registry,
                                   const FetchedManifest& resolved);
  absl::Status Run(Job& job, Registry& registry, const FetchedManifest& resolved);
  absl::Status FetchLayers(Job& job, Registry& registry, const Manifest& manifest,
                           const std::vector<std::string>& diff_ids);

  const std::string registry_config_;
  LayerStore* const layers_;
  Index* const index_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;  // running, by repository@digest
  base::Executor jobs_pool_;
  base::Executor layers_pool_;
};

}  // namespace berth::image
