// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace berth::e2e::bench {

Options ParseOptions(int argc, char** argv) {
  Options options;
  CLI::App app("berth's bench: the same work on every side, in turns, in one run");
  app.add_option("--sides", options.sides, "berthd/runc berthd/crun containerd/runc debian-containerd/runc")
      ->check(CLI::IsMember({"berthd/runc", "berthd/crun", "containerd/runc", "debian-containerd/runc"}));
  app.add_option("--berthd", options.berthd)->check(CLI::ExistingFile);
  app.add_option("--containerd", options.containerd, "containerd 2")->check(CLI::ExistingFile);
  app.add_option("--debian-containerd", options.debian_containerd, "containerd 1.6")
      ->check(CLI::ExistingFile);
  app.add_option("--runc", options.runc)->check(CLI::ExistingFile);
  app.add_option("--endpoint", options.endpoints,
                 "a runtime that is running already: unix:///PATH; repeatable");
  app.add_option("--processes", options.processes,
                 "its programs: a regular expression over file names; one for each");
  app.add_option("--cgroup-parent", options.cgroup_parent, "where the pods of endpoints go");
  app.add_option("--images", options.images)->check(CLI::ExistingDirectory)->required();
  app.add_option("--out", options.out, "the samples, as JSON")->required();
  app.add_option("--work", options.work, "a throw-away directory is made there")
      ->check(CLI::ExistingDirectory);
  app.add_option("--keep", options.keep, "the daemons' logs are copied there");
  app.add_option("--only", options.only, "life exec burst logs streams pull density");
  app.add_option("--warmup", options.warmup, "rounds that are thrown away")->check(CLI::NonNegativeNumber);
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  app.add_option("--pods", options.pods, "one after another, per side and round")->check(CLI::PositiveNumber);
  app.add_option("--execs", options.execs)->check(CLI::PositiveNumber);
  app.add_option("--burst", options.burst, "pods at once")->check(CLI::PositiveNumber);
  app.add_option("--log-mib", options.log_mib)->check(CLI::PositiveNumber);
  app.add_option("--stream-mib", options.stream_mib, "through exec and through port-forward")
      ->check(CLI::PositiveNumber);
  app.add_option("--pull-image", options.pull_image);
  app.add_option("--density", options.density, "numbers of pods, rising")->delimiter(',');
  app.add_option("--density-rounds", options.density_rounds)->check(CLI::PositiveNumber);
  app.add_option("--poll-seconds", options.poll_seconds)->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
    // Own sides live in a network namespace of the run, running runtimes in the host's: not together.
    if (options.sides.empty() == options.endpoints.empty())
      throw CLI::ValidationError("give either --sides or --endpoint");
    if (options.endpoints.size() != options.processes.size())
      throw CLI::ValidationError("every --endpoint needs --processes: whose memory and CPU time is measured");
    for (const std::string& side : options.sides) {
      const std::string kind = side.substr(0, side.find('/'));
      const std::string& program = kind == "berthd"       ? options.berthd
                                   : kind == "containerd" ? options.containerd
                                                          : options.debian_containerd;
      if (program.empty()) throw CLI::ValidationError("side '" + side + "' needs --" + kind + " PATH");
    }
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

}  // namespace berth::e2e::bench
