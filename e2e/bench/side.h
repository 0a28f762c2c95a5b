// SPDX-License-Identifier: Apache-2.0
// One runtime under measurement: how it is started, spoken to, and what of the machine is its own.
#pragma once

#include <sys/types.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "e2e/bench/options.h"
#include "e2e/cri/harness/client.h"

namespace berth::e2e::bench {

// What all sides have in common, made by the worker.
struct Ground {
  std::string dir;        // on disk: roots, logs of containers
  std::string state_dir;  // a tmpfs, as /run is on a node
  std::string cgroup;     // the parent of each side's own
  std::string certs_dir;  // hosts.toml of the registry
};

// The runtime's own memory: all programs that it needs for the pods, the pods' own not.
struct Memory {
  long long daemon_kib = 0;   // the process that listens on the socket
  long long helpers_kib = 0;  // the others: one or more per pod
  long long pause_kib = 0;    // programs called "pause", where a runtime has them
  int helpers = 0;
};

// Not thread-safe, but the client is.
class Side {
 public:
  virtual ~Side() = default;
  virtual void Start() = 0;    // returns when it answers Status with RuntimeReady
  virtual void Restart() = 0;  // a fresh daemon with the same directories; nothing for a foreign one
  virtual bool Running() { return true; }  // false: the daemon ended by itself
  virtual std::string LogFile() const { return ""; }
  virtual nlohmann::json Describe() const = 0;  // versions of the daemon and of its OCI runtime

  const std::string& name() const { return name_; }
  // A name for files and cgroups.
  std::string Slug() const;
  const Client& client() const { return *client_; }
  std::string endpoint() const { return "unix://" + socket_; }
  const std::string& log_dir() const { return log_dir_; }
  // Where its pods go ("<this>/kubepods/…"); empty: the requests name no parent.
  const std::string& cgroup_parent() const { return cgroup_parent_; }

  // Its own processes now: by the file name of their program and, if it has a cgroup of its own, by that.
  std::vector<pid_t> Processes() const { return Matching(processes_); }
  double CpuNow() const;  // seconds, of all processes that are there now
  Memory MemoryNow() const;
  // Waits until it has nothing more to do on its own: what one side does after its reply must not be charged
  // to the next side's turn.
  void Settle() const;

 protected:
  Side(std::string name, std::string processes, const Ground& ground);
  void Connect(const std::string& endpoint);  // unix:///PATH
  void AwaitReady(const std::string& what) const;
  // Words before a daemon's program: it gets its own mount namespace, with an empty /run and /var/lib/cni
  // (peers write there whatever their configuration says), and its own cgroup. `hide`: mount points it must
  // not see.
  std::vector<std::string> Launcher(const std::vector<std::string>& hide) const;

  std::string cgroup_;  // its own, "" for a foreign one
  std::string dir_;
  std::string state_;
  std::string cgroup_parent_;

 private:
  std::vector<pid_t> Matching(const std::string& pattern) const;

  std::string name_;
  std::string processes_;
  std::string log_dir_;
  std::unique_ptr<Client> client_;
  std::string socket_;
};

std::unique_ptr<Side> MakeBerthd(const std::string& name, const Options& options, const Ground& ground,
                                 int number);
std::unique_ptr<Side> MakeContainerd(const std::string& name, const Options& options, const Ground& ground,
                                     int number);
std::unique_ptr<Side> MakeForeign(const Options& options, const Ground& ground, size_t index);

// The same bridge for everybody, each with a name and a subnet by its number.
void WriteConflist(const std::string& conf_dir, const std::string& ipam_dir, int number);
std::vector<std::string> CniBinDirs();

// Moves the calling process into `cgroup` in every hierarchy.
void EnterCgroup(const std::string& cgroup);

}  // namespace berth::e2e::bench
