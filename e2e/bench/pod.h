// SPDX-License-Identifier: Apache-2.0
// A pod as kubelet makes it: its cgroup first, then run, create, start; at the end stop and remove, then the
// cgroup. (e2e/cri/harness/pod.h is about one shared daemon and about tests; here are several, and a clock.)
#pragma once

#include <string>
#include <vector>

#include "e2e/bench/samples.h"
#include "e2e/bench/side.h"

namespace berth::e2e::bench {

struct Work {
  std::string image = "busybox";
  std::vector<std::string> command = {"faults", "term", "0"};  // says "ready", ends at SIGTERM
  long long memory_limit_bytes = 64LL << 20;
};

// Each call is one RPC after another; kubelet's own part (directories, cgroup) is not in any time. Methods
// throw TestError. Dropped without StopAndRemove it leaves the pod to the runtime: the run is over then.
class BenchPod {
 public:
  BenchPod(const Side& side, const Work& work);

  // RunPodSandbox, CreateContainer, StartContainer; records each, and the sum as "<prefix>ready".
  void Run(const Recorder& recorder, const std::string& prefix);
  // StopContainer, StopPodSandbox, RemoveContainer, RemovePodSandbox, and the sum as "<prefix>stop and
  // remove".
  void StopAndRemove(const Recorder& recorder, const std::string& prefix);
  // Until its output has a whole line that ends in `text`.
  void AwaitLine(const std::string& text) const;
  void AwaitExit() const;

  const std::string& pod_id() const { return pod_id_; }
  const std::string& container_id() const { return container_id_; }
  const std::string& log_path() const { return log_path_; }

 private:
  const Side& side_;
  cri::PodSandboxConfig pod_;
  cri::ContainerConfig container_;
  std::string pod_id_;
  std::string container_id_;
  std::string log_path_;
};

// Runs, or stops and removes, all of them, `width` at a time. The first failure is thrown when all have
// ended.
void RunAll(std::vector<BenchPod>* pods, int width, const Recorder& recorder, const std::string& prefix);
void StopAll(std::vector<BenchPod>* pods, int width, const Recorder& recorder, const std::string& prefix);

// The name of an image in the registry of the run.
std::string ImageName(const std::string& image);

}  // namespace berth::e2e::bench
