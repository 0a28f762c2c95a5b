// SPDX-License-Identifier: Apache-2.0
// A throw-away berthd with directories of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "e2e/cri/harness/client.h"
#include "e2e/cri/harness/process.h"

namespace berth::e2e {

struct DaemonConfig {
  std::string dir;                    // everything that is not named otherwise lies below it
  std::string root;                   // "<dir>/root" when empty
  std::string state;                  // "<dir>/run" when empty
  std::string program;                // berthd
  std::vector<std::string> launcher;  // put before the program: words that end by executing what follows
  std::string handler;                // the only handler; empty: the daemon's own choice
  std::string log_level = "debug";
  std::string cgroup_root;
  std::string cni_conf_dir;
  std::vector<std::string> cni_bin_dirs;
  std::string cni_conf_template;
  std::string certs_dir;
  std::string more_toml;                 // appended
  std::vector<std::string> environment;  // added, e.g. BERTH_FAULT=...
};

// Not thread-safe, but the client is.
class Daemon {
 public:
  explicit Daemon(DaemonConfig config);
  ~Daemon();  // ends the daemon; what its pods left running is the owner's

  void Start();  // returns when the socket answers Version and Status says RuntimeReady
  void Kill9() { program_.Kill(); }
  int Terminate();                                    // SIGTERM; the exit status (128+n for a signal)
  std::vector<std::string> SanitizerReports() const;  // what ASan and UBSan wrote into its log
  void Restart() { Kill9(), Start(); }
  bool Running() { return program_.Running(); }

  pid_t pid() const { return program_.pid(); }
  const std::string& endpoint() const { return endpoint_; }
  const std::string& root() const { return config_.root; }
  const std::string& state() const { return config_.state; }
  const std::string& config_file() const { return config_file_; }
  std::string log_file() const { return config_.dir + "/berthd.log"; }
  const Client& client() const { return *client_; }
  DaemonConfig& config() { return config_; }  // takes effect at the next Start

 private:
  void WriteConfig() const;

  DaemonConfig config_;
  std::string endpoint_;
  std::string config_file_;
  Program program_;
  std::unique_ptr<Client> client_;
};

}  // namespace berth::e2e
