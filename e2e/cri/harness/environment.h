// SPDX-License-Identifier: Apache-2.0
// What all tests of a process share: the namespace, the registry, the daemon, the directories.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "e2e/cri/harness/daemon.h"
#include "e2e/cri/harness/leaks.h"
#include "e2e/cri/harness/options.h"
#include "e2e/cri/harness/registry.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {

class Environment {
 public:
  static Environment& Get();

  void SetUp();  // throws TestError
  // What is here now and was not at SetUp: nothing, once all pods are gone. Own daemon only.
  std::vector<std::string> Leftovers();
  void TearDown();  // kills and removes everything that the run made

  const Client& client() const { return OwnDaemon() ? current_->client() : *foreign_client_; }
  Daemon& daemon() { return *current_; }  // OwnDaemon() only
  Registry& registry() { return *registry_; }
  const std::string& dir() const { return dir_; }
  const std::string& cgroup_root() const { return cgroup_root_; }
  std::string certs_dir() const { return dir_ + "/certs.d"; }
  std::string cni_conf_dir() const { return dir_ + "/cni"; }
  std::string ipam_dir() const { return dir_ + "/ipam"; }

  // The id under which the runtime knows a test image; pulled when asked for the first time. Thread-safe.
  std::string ImageId(const std::string& name);

  // From here on all helpers speak to `daemon`; nullptr: to the shared one again. Not while threads run.
  void Use(Daemon* daemon) { current_ = daemon != nullptr ? daemon : daemon_.get(); }

  // A configuration for a further daemon with the same network and registry.
  DaemonConfig AnotherDaemon(const std::string& name) const;

 private:
  Environment() = default;
  std::string dir_;
  std::string cgroup_root_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<Daemon> daemon_;
  Daemon* current_ = nullptr;
  std::unique_ptr<Client> foreign_client_;
  std::mutex mutex_;
  std::map<std::string, std::string> image_ids_;  // by the daemon's endpoint and the name
  Traces before_;
  TraceScope scope_;
};

// A daemon beside the shared one for the length of a test, e.g. with a CNI directory or a disk of its own.
// Its pods must be gone before it is.
class ScopedDaemon {
 public:
  explicit ScopedDaemon(DaemonConfig config) : daemon_(std::move(config)) {
    daemon_.Start();
    Environment::Get().Use(&daemon_);
  }
  ~ScopedDaemon() { Environment::Get().Use(nullptr); }
  Daemon* operator->() { return &daemon_; }

 private:
  Daemon daemon_;
};

inline const Client& Cri() { return Environment::Get().client(); }

// The conflist that the suite normally runs with: a bridge, host-local addresses of both families, portmap.
std::string BridgeConflist(const std::string& ipam_dir);

// For tests that kill, restart or look into the daemon.
#define BERTH_NEEDS_OWN_DAEMON() \
  if (!::berth::e2e::OwnDaemon()) GTEST_SKIP() << "needs a daemon that the suite started itself (--berthd)"

}  // namespace berth::e2e
