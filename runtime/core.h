// SPDX-License-Identifier: Apache-2.0
// What the parts of runtime/ share: the options, the table, the threads, and all living pods by id.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.h"
#include "monitor/client.h"
#include "runtime/erasures.h"
#include "runtime/oci/spec.h"
#include "runtime/operations.h"
#include "runtime/runtime.h"
#include "runtime/table.h"
#include "runtime/timers.h"

namespace berth::runtime {

class Pod;
class Container;

// Thread safe. Everything in it outlives every Pod and Container.
struct Core {
  explicit Core(Options given);
  ~Core();

  Options options;
  oci::HostFacts host_facts;
  Table table;
  Timers timers;
  // What monitors tell, and looks that timers ask for: short, each with a deadline of its own. Work of
  // `executor` waits for it (a grace for the end of its container), it never for work of an executor.
  base::Executor events;
  // Operations, recovery and what is tried again: long. Waits at most for what this executor took on before.
  base::Executor executor;
  Operations operations;
  Erasures erasures;
  std::shared_ptr<monitor::Hub> hub;
  std::atomic<bool> stopping{false};           // berthd goes: nothing long is begun or waited for any more
  std::atomic<int> recovering{0};              // pods that recovery has not done yet
  std::atomic<bool> network_retry_due{false};  // RetryOrphanedNetworksLater's

  std::shared_ptr<Pod> FindPod(const std::string& id);  // nullptr when unknown
  std::shared_ptr<Container> FindContainer(const std::string& id);
  std::vector<std::shared_ptr<Pod>> Pods();
  void Add(const std::shared_ptr<Pod>& pod);
  void Add(const std::shared_ptr<Container>& container);
  void ErasePod(const std::string& id);
  void EraseContainer(const std::string& id);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Pod>> pods_;
  std::map<std::string, std::shared_ptr<Container>> containers_;
};

// Directories and files of a pod and a container (docs/architecture.md, "Places on the host").
struct PodPlaces {
  PodPlaces(const Options& options, const std::string& pod_id);
  std::string root;   // on disk
  std::string state;  // on tmpfs
  std::string pins;   // <state>/ns
  std::string shm;
  std::string resolv_conf, hosts, hostname;
  std::string runtime_root;
  std::string monitor_log;
};
struct ContainerPlaces {
  ContainerPlaces(const Options& options, const std::string& pod_id, const std::string& container_id);
  std::string record_dir;  // on disk: exit.json
  std::string state;       // on tmpfs: bundle, pid file, fallback record
};

}  // namespace berth::runtime
