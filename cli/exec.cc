// SPDX-License-Identifier: Apache-2.0
// berth exec and berth attach.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/remote.h"

namespace berth::cli {
namespace {

absl::Status NeedTerminal(bool tty) {
  if (!tty || ::isatty(STDIN_FILENO) == 1) return absl::OkStatus();
  return absl::InvalidArgumentError("-t wants a terminal, and standard input is none; leave -t out");
}

absl::Status Follow(const absl::StatusOr<std::string>& url, bool input, bool tty, int* exit_code) {
  if (!url.ok()) return url.status();
  auto code = RunRemote(*url, StandardStreams(input, tty));
  if (!code.ok()) return code.status();
  *exit_code = *code;
  return absl::OkStatus();
}

}  // namespace

absl::Status Exec(Connection& daemon, const ExecOptions& options, int* exit_code) {
  if (auto good = NeedTerminal(options.tty); !good.ok()) return good;
  cri::ExecRequest request;
  request.set_container_id(options.id);
  for (const auto& word : options.command) request.add_cmd(word);
  request.set_tty(options.tty);
  request.set_stdin(options.input);
  request.set_stdout(true);
  request.set_stderr(!options.tty);
  return Follow(daemon.Exec(request), options.input, options.tty, exit_code);
}

absl::Status Attach(Connection& daemon, const std::string& id, bool input) {
  cri::AttachRequest request;
  request.set_container_id(id);
  // Only the container knows whether it has a terminal; the daemon refuses the wrong one.
  request.set_stdin(input);
  request.set_stdout(true);
  request.set_stderr(true);
  auto url = daemon.Attach(request);
  const bool tty = absl::IsInvalidArgument(url.status());
  if (tty) {
    request.set_tty(true);
    request.set_stderr(false);
    url = daemon.Attach(request);
  }
  int exit_code = 0;
  return Follow(url, input, tty && input && ::isatty(STDIN_FILENO) == 1, &exit_code);
}

}  // namespace berth::cli
