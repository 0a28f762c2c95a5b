// SPDX-License-Identifier: Apache-2.0
#include "runtime/core.h"

#include "absl/strings/str_cat.h"
#include "runtime/container.h"
#include "runtime/pod.h"

namespace berth::runtime {
namespace {
// Work blocks in plugins, monitors and graces: the limit is there for a node gone mad, not for a full one.
constexpr int kMaxThreads = 512;
// A monitor that does not answer holds one for some seconds: the ends of other pods go by the second.
constexpr int kReservedForEvents = 2;
constexpr std::int64_t kUnclaimedLifeNs = 240 * base::kSecondNs;  // design.md, rule 4: four minutes
}  // namespace

Core::Core(Options given)
    : options(std::move(given)),
      events(kMaxThreads, "berth-events", kReservedForEvents),
      executor(kMaxThreads),
      operations(executor, timers, kUnclaimedLifeNs),
      erasures(events, timers) {
  erasures.Use(options.store);
}

Core::~Core() {
  // Timers first: they hand over to the executors. Then connections: no event begins after this; then the
  // work that is under way (it may have connected again, and waits for events); then what it worked on. What
  // only waits (a grace, an end that does not come) is let be: the next berthd is asked again.
  stopping = true;
  operations.Close();
  timers.Stop();
  for (const auto& pod : Pods()) {
    for (const auto& container : pod->containers()) container->Interrupt();
  }
  for (const auto& pod : Pods()) pod->Disconnect();
  executor.Stop();
  events.Stop();
  // A pod and its containers hold each other.
  for (const auto& pod : Pods()) {
    pod->Disconnect();
    for (const auto& container : pod->containers()) pod->Erase(container->id());
  }
}

std::shared_ptr<Pod> Core::FindPod(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto at = pods_.find(id);
  return at == pods_.end() ? nullptr : at->second;
}

std::shared_ptr<Container> Core::FindContainer(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto at = containers_.find(id);
  return at == containers_.end() ? nullptr : at->second;
}

std::vector<std::shared_ptr<Pod>> Core::Pods() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Pod>> pods;
  for (const auto& [id, pod] : pods_) pods.push_back(pod);
  return pods;
}

void Core::Add(const std::shared_ptr<Pod>& pod) {
  const std::lock_guard lock(mutex_);
  pods_[pod->id()] = pod;
}

void Core::Add(const std::shared_ptr<Container>& container) {
  const std::lock_guard lock(mutex_);
  containers_[container->id()] = container;
}

void Core::ErasePod(const std::string& id) {
  const std::lock_guard lock(mutex_);
  pods_.erase(id);
}

void Core::EraseContainer(const std::string& id) {
  const std::lock_guard lock(mutex_);
  containers_.erase(id);
}

PodPlaces::PodPlaces(const Options& options, const std::string& pod_id)
    : root(absl::StrCat(options.root, "/pods/", pod_id)),
      state(absl::StrCat(options.state, "/pods/", pod_id)),
      pins(state + "/ns"),
      shm(state + "/shm"),
      resolv_conf(state + "/resolv.conf"),
      hosts(state + "/hosts"),
      hostname(state + "/hostname"),
      runtime_root(state + "/runtime"),
      monitor_log(state + "/monitor.log") {}

ContainerPlaces::ContainerPlaces(const Options& options, const std::string& pod_id,
                                 const std::string& container_id)
    : record_dir(absl::StrCat(options.root, "/pods/", pod_id, "/containers/", container_id)),
      state(absl::StrCat(options.state, "/pods/", pod_id, "/containers/", container_id)) {}

}  // namespace berth::runtime
