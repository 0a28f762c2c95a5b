// SPDX-License-Identifier: Apache-2.0
// What is done on each side in its turn. A new measurement is one more function and one more line in
// phases.cc.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "e2e/bench/options.h"
#include "e2e/bench/samples.h"
#include "e2e/bench/side.h"

namespace berth::e2e::bench {

struct Phase {
  std::string name;
  std::function<void(const Side&, const Options&, const Recorder&)> run;
};

// Those that happen in every round, in this order.
const std::vector<Phase>& Phases();

void OnePodAfterAnother(const Side& side, const Options& options, const Recorder& recorder);
void Execs(const Side& side, const Options& options, const Recorder& recorder);
void Burst(const Side& side, const Options& options, const Recorder& recorder);
void Logs(const Side& side, const Options& options, const Recorder& recorder);
void Streams(const Side& side, const Options& options, const Recorder& recorder);
void ColdPull(const Side& side, const Options& options, const Recorder& recorder);

// Idle memory of a fresh daemon, then for each number of pods: memory, latencies of the lists, cost of
// polling. In rounds of its own, as it takes minutes.
void Density(Side& side, const Options& options, const Recorder& recorder);

}  // namespace berth::e2e::bench
