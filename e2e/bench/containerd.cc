// SPDX-License-Identifier: Apache-2.0
// containerd 2 as a Go module builds it, and Debian's 1.6: two forms of the configuration file, the same
// choices. What they say: the image that its pause containers need lies in our registry; on a host without
// CAP_SYS_RESOURCE scores are clamped; all else is the default.
#include <signal.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "e2e/bench/machine.h"
#include "e2e/bench/side.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/process.h"
#include "e2e/cri/harness/registry.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {
namespace {

constexpr char kVersion2[] = R"(version = 4
root = "@DIR@/root"
state = "@STATE@/state"
[plugins."io.containerd.server.v1.grpc"]
  address = "@STATE@/containerd.sock"
[plugins."io.containerd.server.v1.ttrpc"]
  address = "@STATE@/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "@DIR@/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "@PAUSE@"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "@CERTS@"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [@BIN_DIRS@]
  conf_dir = "@DIR@/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "@SHIM@"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "@RUNC@"
)";

constexpr char kVersion16[] = R"(version = 2
root = "@DIR@/root"
state = "@STATE@/state"
[grpc]
  address = "@STATE@/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "@DIR@/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "@PAUSE@"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "@BIN_DIR@"
  conf_dir = "@DIR@/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "@CERTS@"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "@RUNC@"
)";

std::string Filled(std::string text, const std::map<std::string, std::string>& values) {
  for (const auto& [key, value] : values) {
    for (size_t at; (at = text.find("@" + key + "@")) != std::string::npos;) {
      text.replace(at, key.size() + 2, value);
    }
  }
  return text;
}

class Containerd : public Side {
 public:
  Containerd(const std::string& name, const Options& options, const Ground& ground, int number)
      : Side(name, "containerd|containerd-shim.*", ground), runc_(options.runc) {
    const bool debian = name.rfind("debian", 0) == 0;
    program_ = debian ? options.debian_containerd : options.containerd;
    cgroup_ = ground.cgroup + "/" + Slug();
    cgroup_parent_ = cgroup_;
    WriteConflist(dir_ + "/cni", dir_ + "/ipam", number);
    std::string bin_dirs;
    for (const std::string& dir : CniBinDirs()) bin_dirs += (bin_dirs.empty() ? "\"" : ", \"") + dir + "\"";
    WriteFile(dir_ + "/config.toml",
              Filled(debian ? kVersion16 : kVersion2,
                     {{"DIR", dir_},
                      {"STATE", state_},
                      {"PAUSE", Registry::Address() + "/bench-pause:1"},
                      {"CERTS", ground.certs_dir},
                      {"BIN_DIRS", bin_dirs},
                      {"BIN_DIR", CniBinDirs().front()},
                      {"SHIM", program_.substr(0, program_.rfind('/')) + "/containerd-shim-runc-v2"},
                      {"RUNC", runc_}}));
    // A v2 tree beside v1 controllers: not seen by it, so that it cannot take the host for something else.
    argv_ = Launcher({"/sys/fs/cgroup/unified"});
    argv_.insert(argv_.end(), {program_, "--config", dir_ + "/config.toml"});
    Connect("unix://" + state_ + "/containerd.sock");
  }

  void Start() override {
    daemon_.Start(argv_, LogFile(), PlainEnvironment());
    try {
      AwaitReady(name());
    } catch (const TestError& error) {
      const std::string log = TryReadFile(LogFile()).value_or("");
      throw TestError(std::string(error.what()) + "; its log ends:\n" +
                      log.substr(log.size() > 3000 ? log.size() - 3000 : 0));
    }
  }
  void Restart() override {
    daemon_.Signal(SIGTERM);
    WaitFor(
        "the end of " + name(), [&] { return !daemon_.Running(); }, seconds(30));
    Start();
  }
  bool Running() override { return daemon_.Running(); }
  std::string LogFile() const override { return dir_ + "/containerd.log"; }

  nlohmann::json Describe() const override {
    const cri::VersionResponse version = Must(client().Version({}));
    return {{"runtime", version.runtime_name() + " " + version.runtime_version()},
            {"oci_runtime", VersionOf(runc_)}};
  }

 private:
  std::string program_;
  std::string runc_;
  std::vector<std::string> argv_;
  Program daemon_;
};

// Running already, and not ours to start or stop.
class Foreign : public Side {
 public:
  Foreign(const Options& options, const Ground& ground, size_t index)
      : Side("endpoint/" + std::to_string(index + 1), options.processes[index], ground) {
    cgroup_parent_ = options.cgroup_parent;
    Connect(options.endpoints[index]);
  }
  void Start() override { AwaitReady(name()); }
  void Restart() override {}
  nlohmann::json Describe() const override {
    const cri::VersionResponse version = Must(client().Version({}));
    return {{"runtime", version.runtime_name() + " " + version.runtime_version()}, {"oci_runtime", ""}};
  }
};

}  // namespace

std::unique_ptr<Side> MakeContainerd(const std::string& name, const Options& options, const Ground& ground,
                                     int number) {
  return std::make_unique<Containerd>(name, options, ground, number);
}

std::unique_ptr<Side> MakeForeign(const Options& options, const Ground& ground, size_t index) {
  return std::make_unique<Foreign>(options, ground, index);
}

}  // namespace berth::e2e::bench
