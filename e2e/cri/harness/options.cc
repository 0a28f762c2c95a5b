// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

namespace berth::e2e {
namespace {
Options& Mutable() {
  static Options options;
  return options;
}
}  // namespace

const Options& GetOptions() { return Mutable(); }

void ParseOptions(int argc, char** argv) {
  Options& options = Mutable();
  CLI::App app("berth's CRI suite: --berthd PATH to test berth, --endpoint to test another runtime");
  app.add_option("--berthd", options.berthd)->check(CLI::ExistingFile);
  app.add_option("--endpoint", options.endpoint);
  app.add_option("--images", options.images)->check(CLI::ExistingDirectory)->required();
  app.add_option("--keep", options.keep);
  app.add_option("--handler", options.handler);
  app.add_option("--count", options.count)->envname("BERTH_TEST_COUNT");
  app.add_flag("--full", options.full);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (options.handler.rfind('/', 0) == 0 && ::access(options.handler.c_str(), X_OK) != 0) {
    std::cout << "skipped: there is no OCI runtime at '" << options.handler << "'\n";
    std::exit(77);
  }
  if (options.full) options.count = 100;
  if (options.count >= 100) options.full = true;
  if (options.berthd.empty() == options.endpoint.empty()) {
    std::exit(app.exit(CLI::ValidationError("give either --berthd or --endpoint")));
  }
}

}  // namespace berth::e2e
