// SPDX-License-Identifier: Apache-2.0
// berth-monitor: `serve` (a pod's monitor), `pin` (makes and pins namespaces), `true [FILE]` (the probe of an
// OCI runtime: exits 0).
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "monitor/pin.h"
#include "monitor/serve.h"
#include "monitor/true.h"

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  if (std::strcmp(mode, "serve") == 0) return berth::monitor::ServeMain(argc - 1, argv + 1);
  if (std::strcmp(mode, "pin") == 0) return berth::monitor::PinMain(argc - 1, argv + 1);
  if (std::strcmp(mode, "true") == 0) return berth::monitor::TrueMain(argc - 1, argv + 1);
  if (std::strcmp(mode, "--version") == 0) {
    std::puts("berth-monitor " BERTH_VERSION);
    return 0;
  }
  std::fputs("usage: berth-monitor serve|pin|true|--version\n", stderr);
  return 2;
}
