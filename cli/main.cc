// SPDX-License-Identifier: Apache-2.0
// berth: the operator's program. Exit codes: 0 done; 1 it failed (one line on stderr says why); 2 wrong use;
// `run --wait` gives the container's own; `fsck`: 0 clean, 1 found something, 2 could not look.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace {

constexpr char kDefaultEndpoint[] = "/run/berth/berth.sock";
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;

int Report(const absl::Status& status, const std::string& endpoint) {
  if (status.ok()) return 0;
  std::string text = berth::cli::Printable(std::string(status.message()));
  if (absl::IsUnavailable(status)) {
    absl::StrAppend(&text, "\nberthd does not answer at ", endpoint,
                    ": is it running, are you root, is --endpoint right?");
  }
  std::cerr << "berth: " << text << "\n";
  return kFailed;
}

// `exec [OPTIONS] ID [--] COMMAND…`: what follows the ID is the command's, also what looks like an option of
// ours. Takes it away; the number of the arguments that are left.
int TakeCommand(int argc, char** argv, std::vector<std::string>* command) {
  int at = 1;
  const auto is_option = [&] { return at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; };
  while (is_option()) {
    const std::string option = argv[at++];
    if (option == "-e" || option == "--endpoint") ++at;
  }
  if (at >= argc || std::string(argv[at]) != "exec") return argc;
  for (++at; is_option();) ++at;
  const int end = std::min(argc, at + 1);  // after the ID
  at = end;
  if (at < argc && std::string(argv[at]) == "--") ++at;
  if (at < argc) command->assign(argv + at, argv + argc);
  return end;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"berth: look at, feed and explain the berth container runtime"};
  app.require_subcommand(1);
  const char* from_env = std::getenv("BERTH_ENDPOINT");
  std::string endpoint = from_env != nullptr ? from_env : kDefaultEndpoint;
  app.add_option("-e,--endpoint", endpoint, "socket of berthd (or BERTH_ENDPOINT)")->capture_default_str();

  std::string output_name = "table";
  bool all = false;
  std::string file;
  std::string reference;
  std::string id;
  berth::cli::RunOptions run_options;
  berth::cli::LogOptions log_options;
  berth::cli::FsckOptions fsck_options;
  berth::cli::ExecOptions exec_options;
  std::vector<std::string> ports;
  std::string from, to;

  auto* version = app.add_subcommand("version", "versions of this program and of the daemon");
  auto* ps = app.add_subcommand("ps", "list containers");
  ps->add_flag("-a,--all", all, "also those that do not run");
  auto* pods = app.add_subcommand("pods", "list pods");
  auto* images = app.add_subcommand("images", "list images");
  for (auto* list : {ps, pods, images})
    list->add_option("-o,--output", output_name, "table or json")->check(CLI::IsMember({"table", "json"}));
  auto* import =
      app.add_subcommand("import", "import images from a tar of an OCI layout or of `docker save`");
  import->add_option("FILE", file, "the archive")->required()->check(CLI::ExistingFile);
  import->add_option("--name", reference, "name for an image that the archive gives none");
  auto* run = app.add_subcommand("run", "run a pod with one container, from JSON files as crictl takes them");
  run->add_option("POD", run_options.pod_file, "pod sandbox configuration")
      ->required()
      ->check(CLI::ExistingFile);
  run->add_option("CONTAINER", run_options.container_file, "container configuration")
      ->required()
      ->check(CLI::ExistingFile);
  run->add_option("--handler", run_options.handler, "runtime handler; default: the node's");
  run->add_flag("--wait", run_options.wait, "wait for the container's end and exit with its code");
  run->add_flag("--rm", run_options.remove, "with --wait: remove the pod afterwards");
  auto* rmp = app.add_subcommand("rmp", "stop and remove a pod with its containers");
  rmp->add_option("ID", id, "pod")->required();
  auto* logs = app.add_subcommand("logs", "print a container's log");
  logs->add_option("ID", log_options.id, "container")->required();
  logs->add_flag("-f,--follow", log_options.follow, "go on until the container ends");
  logs->add_flag("-t,--timestamps", log_options.timestamps, "with the time of each line");
  logs->add_option("--tail", log_options.tail, "only the last lines")->check(CLI::NonNegativeNumber);
  auto* exec = app.add_subcommand("exec", "run a command in a container; its exit code becomes ours");
  exec->add_flag("-i,--stdin", exec_options.input, "it gets our standard input");
  exec->add_flag("-t,--tty", exec_options.tty, "with a terminal");
  exec->add_option("ID", exec_options.id, "container")->required();
  exec->footer("After the ID: [--] COMMAND and its arguments, taken as they are.");
  auto* attach = app.add_subcommand("attach", "what a container writes from now on, until it ends");
  attach->add_flag("-i,--stdin", exec_options.input, "it gets our standard input");
  attach->add_option("ID", id, "container")->required();
  auto* forward = app.add_subcommand("port-forward", "local ports whose connections end in a pod");
  forward->add_option("POD", id, "pod")->required();
  forward->add_option("PORTS", ports, "PORT, LOCAL:PORT, or :PORT for any local one")->required();
  auto* copy = app.add_subcommand("cp", "copy files to or from a container; it needs tar");
  copy->add_option("FROM", from, "a path, or CONTAINER:PATH")->required();
  copy->add_option("TO", to, "a path, or CONTAINER:PATH")->required();
  auto* explain = app.add_subcommand("explain", "how a container or pod lives, or lived and died");
  explain->add_option("ID", id, "container or pod")->required();
  auto* doctor = app.add_subcommand("doctor", "what this host can and cannot do, with remedies");

  auto* fsck =
      app.add_subcommand("fsck", "what of berth's is on this host that no record owns, and the reverse");
  fsck->add_flag("--repair", fsck_options.repair, "free what nobody owns; only what is provably berth's");
  fsck->add_flag("--json", fsck_options.json, "print JSON");
  fsck->add_option("--config", fsck_options.config, "configuration of the daemon, where none runs");

  try {
    app.parse(TakeCommand(argc, argv, &exec_options.command), argv);
    if (exec->parsed() && exec_options.command.empty()) throw CLI::RequiredError("COMMAND");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUse;
  }

  berth::cli::Connection daemon(endpoint);
  const auto output = output_name == "json" ? berth::cli::Output::kJson : berth::cli::Output::kTable;
  int exit_code = 0;
  absl::Status status;
  if (version->parsed()) status = berth::cli::ShowVersion(daemon);
  if (ps->parsed()) status = berth::cli::ListContainers(daemon, all, output);
  if (pods->parsed()) status = berth::cli::ListPods(daemon, output);
  if (images->parsed()) status = berth::cli::ListImages(daemon, output);
  if (import->parsed()) status = berth::cli::Import(daemon, file, reference);
  if (run->parsed()) status = berth::cli::Run(daemon, run_options, &exit_code);
  if (rmp->parsed()) status = berth::cli::RemovePod(daemon, id);
  if (logs->parsed()) status = berth::cli::Logs(daemon, log_options);
  if (exec->parsed()) status = berth::cli::Exec(daemon, exec_options, &exit_code);
  if (attach->parsed()) status = berth::cli::Attach(daemon, id, exec_options.input);
  if (forward->parsed()) status = berth::cli::PortForward(daemon, id, ports);
  if (copy->parsed()) status = berth::cli::Copy(daemon, from, to);
  if (explain->parsed()) status = berth::cli::Explain(daemon, id);
  if (doctor->parsed()) {
    int failures = 0;
    status = berth::cli::Doctor(daemon, &failures);
    if (failures > 0) exit_code = kFailed;
  }
  if (fsck->parsed()) {
    int left = 0;
    status = berth::cli::Fsck(daemon, fsck_options, &left);
    if (left > 0) exit_code = kFailed;
    if (!status.ok()) return Report(status, endpoint), kWrongUse;
  }
  const int failed = Report(status, endpoint);
  return failed != 0 ? failed : exit_code;
}
