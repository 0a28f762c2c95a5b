// SPDX-License-Identifier: Apache-2.0
// The probe's program for this folder's tests: as `berth-monitor true [FILE]`. With another word it ends
// with 3.
#include "monitor/true.h"

#include <cstring>

int main(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], "true") != 0) return 3;
  return berth::monitor::TrueMain(argc - 1, argv + 1);
}
