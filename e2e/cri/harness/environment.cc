// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/environment.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cgroupfs/testing/delegated.h"
#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/leaks.h"

namespace berth::e2e {

constexpr char kCgroupPrefix[] = "berth-test-e2e-";

Environment& Environment::Get() {
  static Environment environment;
  return environment;
}

std::string BridgeConflist(const std::string& ipam_dir) {
  return R"({"cniVersion":"1.0.0","name":"e2e","plugins":[
  {"type":"bridge","bridge":"e2ebr0","isGateway":true,"hairpinMode":true,
   "ipam":{"type":"host-local","dataDir":")" +
         ipam_dir + R"(","ranges":[[{"subnet":"10.88.0.0/16"}],[{"subnet":"fd00:88::/64"}]],
           "routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},
  {"type":"portmap","capabilities":{"portMappings":true},"snat":false}]})";
}

void Environment::SetUp() {
  SweepStaleCgroups(kCgroupPrefix);
  dir_ = GetOptions().keep;
  if (dir_.empty()) {
    char pattern[] = "/tmp/berth-e2e-XXXXXX";
    dir_ = ::mkdtemp(pattern);
    ::chmod(dir_.c_str(), 0711);  // the root of a user namespace walks through it
  }
  cgroup_root_ = cgroupfs::DelegatedCgroup() + "/" + kCgroupPrefix + std::to_string(::getpid());
  for (const char* name : {"/podlogs", "/cni", "/ipam", "/certs.d", "/registry"}) MakeDirs(dir_ + name);
  MakeCgroup(cgroup_root_);

  registry_ = std::make_unique<Registry>(dir_ + "/registry", GetOptions().images);
  registry_->Start();
  WriteHosts(certs_dir(), Registry::Host(), {"http://" + Registry::Address()});
  WriteHosts(certs_dir(), Registry::Address(), {"http://" + Registry::Address()});
  if (!OwnDaemon()) {
    registry_->Push("faults", "pause:1");  // peers with a pause container are configured to find it there
    foreign_client_ = std::make_unique<Client>(GetOptions().endpoint);
    Must(foreign_client_->Version({}, seconds(10)));
    return;
  }
  WriteFile(cni_conf_dir() + "/10-e2e.conflist", BridgeConflist(ipam_dir()));
  daemon_ = std::make_unique<Daemon>(AnotherDaemon("daemon"));
  current_ = daemon_.get();
  daemon_->Start();
  // Addresses, cgroups and interfaces that stay for the daemon's life appear with the first pod.
  scope_.cgroup_root = cgroup_root_;
  scope_.ipam_dir = ipam_dir();
  scope_.file_trees = {daemon_->root() + "/pods", daemon_->root() + "/containers",
                       daemon_->state() + "/pods"};
  before_ = TakeTraces(scope_);
}

std::vector<std::string> Environment::Leftovers() {
  scope_.expected = {daemon_->pid(), registry_->pid()};
  std::vector<std::string> added;
  // The bridge is the CNI plugin's. Directly below our root the daemon may keep cgroups of its own, empty
  // ones, and the classes of kubepods; anything deeper belongs to a pod or a container.
  const auto stays = [this](const std::string& trace) {
    if (trace == "link e2ebr0") return true;
    const size_t root = trace.find(":" + cgroup_root_ + "/");
    if (trace.rfind("cgroup ", 0) != 0 || root == std::string::npos) return false;
    const std::string path = trace.substr(root + cgroup_root_.size() + 2);
    return path.find('/') == std::string::npos || path == "kubepods/burstable" ||
           path == "kubepods/besteffort";
  };
  Eventually(
      [&] {
        added = Added(before_, TakeTraces(scope_));
        std::erase_if(added, stays);
        return added.empty();
      },
      seconds(10));
  return added;
}

DaemonConfig Environment::AnotherDaemon(const std::string& name) const {
  DaemonConfig config;
  config.dir = dir_ + "/" + name;
  config.program = GetOptions().berthd;
  config.handler = GetOptions().handler;
  config.cgroup_root = cgroup_root_;
  config.cni_conf_dir = cni_conf_dir();
  config.cni_bin_dirs = {dir_ + "/plugins", "/usr/lib/cni", "/opt/cni/bin"};
  config.certs_dir = certs_dir();
  return config;
}

void Environment::TearDown() {
  if (daemon_ && daemon_->Running()) {
    for (const std::string& trace : Leftovers()) ADD_FAILURE() << "left behind: " << trace;
    EXPECT_EQ(daemon_->Terminate(), 0) << "the daemon's end after SIGTERM";
  }
  if (daemon_) {
    for (const std::string& report : daemon_->SanitizerReports()) ADD_FAILURE() << report;
    daemon_->Kill9();
  }
  DestroyCgroup(cgroup_root_);
  KillDescendants();
  if (registry_) registry_->Stop();
  UnmountBelow(dir_);
  if (!GetOptions().keep.empty()) return;
  std::error_code error;
  std::filesystem::remove_all(dir_, error);
}

std::string Environment::ImageId(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::string& id = image_ids_[(OwnDaemon() ? current_->endpoint() : "") + " " + name];
  if (!id.empty()) return id;
  const std::string repository = name + ":1";
  registry_->Push(
      name, repository,
      name == "plain" ? std::vector<std::string>{"--preserve-digests"} : std::vector<std::string>{});
  cri::PullImageRequest request;
  request.mutable_image()->set_image(Registry::Name(repository));
  id = Must(client().PullImage(request)).image_ref();
  return id;
}

}  // namespace berth::e2e
