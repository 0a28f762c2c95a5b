// SPDX-License-Identifier: Apache-2.0
// The verbs of `berth`, one file each. They print to stdout and return what went wrong; main prints that and
// sets the exit code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/connection.h"

namespace berth::cli {

enum class Output { kTable, kJson };

absl::Status ShowVersion(Connection& daemon);
absl::Status ListContainers(Connection& daemon, bool all, Output output);
absl::Status ListPods(Connection& daemon, Output output);
absl::Status ListImages(Connection& daemon, Output output);
// Progress goes to stderr when it is a terminal.
absl::Status Import(Connection& daemon, const std::string& file, const std::string& reference);

struct RunOptions {
  std::string pod_file, container_file;  // JSON as crictl takes it
  std::string handler;
  bool wait = false;    // until the container ended; the exit code becomes ours
  bool remove = false;  // with wait: remove the pod afterwards
};
absl::Status Run(Connection& daemon, const RunOptions& options, int* exit_code);

// Stops and removes a pod with its containers.
absl::Status RemovePod(Connection& daemon, const std::string& id);

struct LogOptions {
  std::string id;
  bool follow = false;
  bool timestamps = false;
  std::int64_t tail = -1;  // lines; -1: all
};
absl::Status Logs(Connection& daemon, const LogOptions& options);

struct ExecOptions {
  std::string id;
  std::vector<std::string> command;
  bool input = false;
  bool tty = false;
};
absl::Status Exec(Connection& daemon, const ExecOptions& options, int* exit_code);
// Shows what the container writes from now on, until it ends; with `input` it gets ours.
absl::Status Attach(Connection& daemon, const std::string& id, bool input);
// `ports`: "80", "8080:80", ":80". Serves until it is interrupted or the pod is gone.
absl::Status PortForward(Connection& daemon, const std::string& pod, const std::vector<std::string>& ports);
// One of both is "CONTAINER:PATH". Needs tar in the container.
absl::Status Copy(Connection& daemon, const std::string& from, const std::string& to);

absl::Status Explain(Connection& daemon, const std::string& id);
// `failures`: how many checks found something broken.
absl::Status Doctor(Connection& daemon, int* failures);

struct FsckOptions {
  bool repair = false;
  bool json = false;
  std::string config;  // of the daemon that does not run; "" = its default
};
// Asks the daemon; where none answers, lets `berthd --fsck` look. `left`: how many findings remain. An error:
// it could not look.
absl::Status Fsck(Connection& daemon, const FsckOptions& options, int* left);

}  // namespace berth::cli
