// SPDX-License-Identifier: Apache-2.0
// berthd: reads the configuration, wires, serves.
#include <CLI/CLI.hpp>
#include <iostream>
#include <system_error>

#include "base/log.h"
#include "cri/fsck_reply.h"
#include "daemon/app.h"
#include "daemon/config.h"
#include "daemon/fsck.h"
#include "daemon/host.h"
#include "daemon/server.h"
#include "daemon/stop.h"

int main(int argc, char** argv) {
  namespace daemon = ::berth::daemon;
  CLI::App app(
      "berthd runs Kubernetes pods: it serves the Container Runtime Interface to kubelet and crictl.\n"
      "SIGTERM stops the serving and leaves the pods alone.",
      "berthd");
  std::string file = daemon::kDefaultConfigFile;
  bool check = false;
  auto* named =
      app.add_option("--config", file, "configuration (TOML); files in conf.d beside it are read after it")
          ->option_text("FILE [" + file + "]");
  app.add_flag("--check", check, "only read the configuration, say what is wrong with it, and exit");
  bool fsck = false, repair = false;
  auto* fsck_flag = app.add_flag(
      "--fsck", fsck, "no serving: compare records and host, print a report in JSON (`berth fsck`)");
  app.add_flag("--repair", repair, "with --fsck: free what no record owns")->needs(fsck_flag);
  app.set_version_flag("--version", "berthd " BERTH_VERSION);
  CLI11_PARSE(app, argc, argv);

  daemon::Problems problems;
  const daemon::Config config = daemon::LoadConfig(file, named->count() > 0, &problems);
  for (const auto& problem : problems) std::cerr << "berthd: " << problem << '\n';
  if (!problems.empty()) return 1;
  if (check) {
    std::cout << "berthd: the configuration is valid\n";
    return 0;
  }

  berth::base::InitLog(config.log.level, config.log.format);
  daemon::PrepareProcess();
  if (fsck) {
    const auto report = daemon::CheckWithoutServing(config, repair);
    if (report.ok())
      std::cout << berth::cri::FsckJson(*report) << '\n';
    else
      std::cerr << "berthd: " << report.status().message() << '\n';
    return report.ok() ? 0 : 1;
  }
  daemon::StopSignals stop;
  daemon::RedirectGrpcLog();
  std::string line;
  try {
    const absl::Status served = daemon::Serve(config, stop);
    if (served.ok()) return 0;
    line = std::string(served.message());
  } catch (const std::system_error& error) {
    // std::thread's way: the threads that serve cannot be had.
    line = std::string(error.what()) +
           " (the limit of processes is reached, see pids.max, TasksMax and kernel.threads-max)";
  }
  berth::base::LogError("berthd cannot start", {{"error", line}});
  return 1;
}
