// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/daemon.h"

#include <absl/strings/str_join.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {
namespace {

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

std::string LastLines(const std::string& file) {
  const std::string text = TryReadFile(file).value_or("(no log)");
  return text.size() > 3000 ? "..." + text.substr(text.size() - 3000) : text;
}

}  // namespace

Daemon::Daemon(DaemonConfig config) : config_(std::move(config)) {
  if (config_.root.empty()) config_.root = config_.dir + "/root";
  if (config_.state.empty()) config_.state = config_.dir + "/run";
  endpoint_ = "unix://" + config_.state + "/berth.sock";
  config_file_ = config_.dir + "/config.toml";
  MakeDirs(config_.root);
  MakeDirs(config_.state);
  client_ = std::make_unique<Client>(endpoint_);
}

Daemon::~Daemon() {
  program_.Kill();
  // The mount that pins lie on is the daemon's, not a pod's. Busy means that a pod's pin is still there: a
  // leak to tell.
  ::umount2((config_.state + "/pods").c_str(), 0);
}

void Daemon::WriteConfig() const {
  std::vector<std::string> bin_dirs;
  for (const std::string& dir : config_.cni_bin_dirs) bin_dirs.push_back(Quoted(dir));
  std::string text = "root = " + Quoted(config_.root) + "\nstate = " + Quoted(config_.state) + "\n";
  const bool given = config_.handler.rfind('/', 0) == 0;
  if (!config_.handler.empty())
    text += "default_handlers = [" + Quoted(given ? "given" : config_.handler) + "]\n";
  text += "\n[grpc]\nsocket = " + Quoted(config_.state + "/berth.sock") +
          "\n\n[cgroup]\ndriver = \"cgroupfs\"\nroot = " + Quoted(config_.cgroup_root) +
          "\n\n[cni]\nconf_dir = " + Quoted(config_.cni_conf_dir) + "\nbin_dirs = [" +
          absl::StrJoin(bin_dirs, ", ") + "]\nconf_template = " + Quoted(config_.cni_conf_template) +
          "\n\n[registry]\nconfig_path = " + Quoted(config_.certs_dir) +
          "\n\n[log]\nlevel = " + Quoted(config_.log_level) + "\n" + config_.more_toml;
  if (given) text += "\n[handlers.given]\npath = " + Quoted(config_.handler) + "\n";
  WriteFile(config_file_, text);
}

void Daemon::Start() {
  WriteConfig();
  std::vector<std::string> environment = PlainEnvironment();
  environment.insert(environment.end(), config_.environment.begin(), config_.environment.end());
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = ::getenv(name)) environment.push_back(std::string(name) + "=" + value);
  }
  std::vector<std::string> argv = config_.launcher;
  argv.insert(argv.end(), {config_.program, "--config", config_file_});
  program_.Start(argv, log_file(), environment);
  const bool ready = Eventually(
      [&] {
        if (!program_.Running()) return true;
        const auto status = client_->Status({}, milliseconds(2000));
        if (!status.ok()) return false;
        for (const cri::RuntimeCondition& condition : status->status().conditions()) {
          if (condition.type() == "RuntimeReady" && condition.status()) return true;
        }
        return false;
      },
      seconds(60));
  if (!program_.Running()) throw TestError("berthd ended while starting; its log:\n" + LastLines(log_file()));
  if (!ready) throw TestError("berthd was not ready within 60 s; its log:\n" + LastLines(log_file()));
}

int Daemon::Terminate() {
  program_.Signal(SIGTERM);
  siginfo_t info{};
  const bool ended = Eventually(
      [&] {
        info.si_pid = 0;
        return ::waitid(P_PID, static_cast<id_t>(pid()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
               info.si_pid != 0;
      },
      seconds(30));
  if (!ended) {
    program_.Kill();
    throw TestError("berthd did not end within 30 s of SIGTERM");
  }
  const int status = program_.Wait();
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::vector<std::string> Daemon::SanitizerReports() const {
  std::vector<std::string> reports;
  for (const std::string& line : Lines(TryReadFile(log_file()).value_or(""))) {
    if (line.find("Sanitizer:") != std::string::npos || line.find("runtime error:") != std::string::npos) {
      reports.push_back(line);
    }
  }
  return reports;
}

}  // namespace berth::e2e
