// SPDX-License-Identifier: Apache-2.0
// What the command line says. tools/bench builds what is missing and calls the program with the paths.
#pragma once

#include <string>
#include <vector>

namespace berth::e2e::bench {

struct Options {
  // The sides, in the order in which they were named: "berthd/runc", "berthd/crun", "containerd/runc" and
  // "debian-containerd/runc".
  std::vector<std::string> sides;
  std::string berthd;             // --berthd PATH
  std::string containerd;         // --containerd PATH; its shim lies beside it
  std::string debian_containerd;  // --debian-containerd PATH: 1.6, another configuration file
  std::string runc = "/usr/sbin/runc";
  // Runtimes that are running already, in this network namespace, instead of `sides`. Each with the regular
  // expression for the file names of its programs (memory, CPU time).
  std::vector<std::string> endpoints;  // --endpoint unix:///PATH, may be repeated
  std::vector<std::string> processes;  // --processes REGEX, one for each
  std::string cgroup_parent;  // --cgroup-parent: where their pods go; empty: the requests name no parent

  std::string images;  // --images DIR: what e2e/images/build and e2e/bench/images wrote
  std::string out;     // --out FILE: the samples, as JSON
  std::string work = "/tmp";
  std::string keep;  // --keep DIR: the daemons' logs are copied there

  std::vector<std::string> only;  // --only PHASE…; empty: all
  int warmup = 1;                 // rounds that are thrown away
  int rounds = 10;
  int pods = 8;  // pods one after another per side and round
  int execs = 20;
  int burst = 20;
  int log_mib = 128;
  int stream_mib = 512;
  std::string pull_image = "bench-pull";
  std::vector<int> density = {40, 200};
  int density_rounds = 3;
  int poll_seconds = 30;
};

Options ParseOptions(int argc, char** argv);  // ends the program when they are wrong

}  // namespace berth::e2e::bench
