// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "e2e/bench/machine.h"
#include "e2e/bench/side.h"
#include "e2e/cri/harness/daemon.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {
namespace {

class Berthd : public Side {
 public:
  Berthd(const std::string& name, const Options& options, const Ground& ground, int number)
      : Side(name, "berthd|berth-.*", ground), program_(options.berthd) {
    cgroup_ = ground.cgroup + "/" + Slug();
    cgroup_parent_ = cgroup_;
    const std::string handler = name.substr(name.find('/') + 1);
    oci_runtime_ = handler == "crun" ? "/usr/bin/crun" : options.runc;
    WriteConflist(dir_ + "/cni", dir_ + "/ipam", number);
    DaemonConfig config;
    config.dir = dir_;
    config.state = state_;
    config.program = options.berthd;
    config.launcher = Launcher({});
    config.handler = handler;
    config.log_level = "info";
    config.cgroup_root = cgroup_;
    config.cni_conf_dir = dir_ + "/cni";
    config.cni_bin_dirs = CniBinDirs();
    config.certs_dir = ground.certs_dir;
    config.more_toml = "\n[handlers." + handler + "]\npath = \"" + oci_runtime_ + "\"\n";
    daemon_ = std::make_unique<Daemon>(std::move(config));
    Connect(daemon_->endpoint());
  }

  void Start() override {
    daemon_->Start();
    AwaitReady(name());
  }
  void Restart() override {
    if (const int status = daemon_->Terminate(); status != 0)
      throw TestError("berthd ended with " + std::to_string(status) + " after SIGTERM");
    Start();
  }
  bool Running() override { return daemon_->Running(); }
  std::string LogFile() const override { return daemon_->log_file(); }

  nlohmann::json Describe() const override {
    const cri::VersionResponse version = Must(client().Version({}));
    return {{"runtime", version.runtime_name() + " " + version.runtime_version()},
            {"oci_runtime", VersionOf(oci_runtime_)}};
  }

 private:
  std::string program_;
  std::string oci_runtime_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace

std::unique_ptr<Side> MakeBerthd(const std::string& name, const Options& options, const Ground& ground,
                                 int number) {
  return std::make_unique<Berthd>(name, options, ground, number);
}

}  // namespace berth::e2e::bench
