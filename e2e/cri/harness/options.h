// SPDX-License-Identifier: Apache-2.0
// What the command line and the environment say about a run of the suite.
#pragma once

#include <string>

namespace berth::e2e {

struct Options {
  std::string berthd;  // --berthd PATH: the daemon under test, started by the suite
  std::string
      endpoint;        // --endpoint unix:///PATH: another runtime, running already, in this network namespace
  std::string images;  // --images DIR: what e2e/images/build wrote
  std::string keep;    // --keep DIR: work there and leave logs behind
  std::string handler;  // --handler runc|crun|PATH: the only one that the daemon gets; empty: its own choice
  int count = 3;        // --count N, BERTH_TEST_COUNT: how often each exactness case is repeated
  bool full = false;    // --full: the counts of the issues (100 of each OOM case, 300 exit codes)
};

// Parsed once, by main(), after GoogleTest took its own flags.
const Options& GetOptions();
void ParseOptions(int argc, char** argv);

// True when the suite started the daemon itself, and so may kill it, restart it and look at its files.
inline bool OwnDaemon() { return GetOptions().endpoint.empty(); }

}  // namespace berth::e2e
