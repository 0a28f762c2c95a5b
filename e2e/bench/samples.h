// SPDX-License-Identifier: Apache-2.0
// Everything that was measured, sample by sample; what it means is e2e/bench/report's affair.
#pragma once

#include <map>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {

// A quantity. `name` is its key ("rpc/RunPodSandbox"), the same for all sides.
struct Metric {
  std::string name;
  std::string unit;  // ms, KiB, MiB/s, ms/s
  bool more_is_better = false;
};
inline Metric Milliseconds(std::string name) { return {std::move(name), "ms"}; }

// Thread-safe.
class Samples {
 public:
  void Add(const std::string& side, int round, const Metric& metric, double value);
  void Note(const std::string& text);  // what could not be measured and why; each text once

  // {"metrics": {name: {unit, more_is_better}}, "samples": {side: {name: [[round, value]…]}}, "notes": […]}
  nlohmann::json ToJson() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Metric> metrics_;
  std::map<std::string, std::map<std::string, std::vector<std::pair<int, double>>>> samples_;
  std::vector<std::string> notes_;
};

// Where the samples of one side in one round go. Cheap to copy; without `samples` they are forgotten.
class Recorder {
 public:
  Recorder(Samples* samples, std::string side, int round)
      : samples_(samples), side_(std::move(side)), round_(round) {}
  void Add(const Metric& metric, double value) const {
    if (samples_ != nullptr) samples_->Add(side_, round_, metric, value);
  }
  // For work that only prepares: times are taken and forgotten.
  Recorder Discarding() const { return {nullptr, side_, round_}; }
  void Note(const std::string& text) const {
    if (samples_ != nullptr) samples_->Note(side_ + ": " + text);
  }

  // Runs `call` and records how long it took; a failure throws and records nothing.
  template <typename Call>
  auto Time(const std::string& name, const Call& call) const {
    const Clock::time_point start = Clock::now();
    auto result = Must(call());
    Add(Milliseconds(name), SecondsSince(start) * 1000);
    return result;
  }

 private:
  Samples* samples_;
  std::string side_;
  int round_;
};

}  // namespace berth::e2e::bench
