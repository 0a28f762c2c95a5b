// SPDX-License-Identifier: Apache-2.0
// The course of a run: sides are started side by side and take turns.
#pragma once

#include "e2e/bench/janitor.h"
#include "e2e/bench/options.h"

namespace berth::e2e::bench {

// 0 when every side did all its work. A side that fails is left out from there on, and the samples say so.
int Run(const Options& options, const Place& place);

}  // namespace berth::e2e::bench
