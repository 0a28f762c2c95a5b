// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <unistd.h>

#include "e2e/bench/run.h"

int main(int argc, char** argv) {
  const berth::e2e::bench::Options options = berth::e2e::bench::ParseOptions(argc, argv);
  if (::geteuid() != 0) {
    fprintf(stderr, "the bench must run as root\n");
    return 1;
  }
  return berth::e2e::bench::RunGuarded(options.work, [&](const berth::e2e::bench::Place& place) {
    return berth::e2e::bench::Run(options, place);
  });
}
