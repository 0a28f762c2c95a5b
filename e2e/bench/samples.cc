// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/samples.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "e2e/bench/progress.h"

namespace berth::e2e::bench {

void Samples::Add(const std::string& side, int round, const Metric& metric, double value) {
  const std::lock_guard lock(mutex_);
  metrics_[metric.name] = metric;
  samples_[side][metric.name].emplace_back(round, value);
}

void Samples::Note(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (std::find(notes_.begin(), notes_.end(), text) != notes_.end()) return;
  notes_.push_back(text);
  Say("note: " + text);
}

nlohmann::json Samples::ToJson() const {
  const std::lock_guard lock(mutex_);
  nlohmann::json metrics = nlohmann::json::object();
  for (const auto& [name, metric] : metrics_) {
    metrics[name] = {{"unit", metric.unit}, {"more_is_better", metric.more_is_better}};
  }
  return {{"metrics", metrics}, {"samples", samples_}, {"notes", notes_}};
}

}  // namespace berth::e2e::bench
