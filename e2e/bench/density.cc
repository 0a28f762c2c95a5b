// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "e2e/bench/phases.h"
#include "e2e/bench/pod.h"
#include "e2e/bench/progress.h"
#include "e2e/cri/harness/files.h"

namespace berth::e2e::bench {
namespace {

constexpr int kAtATime = 4;  // kubelet starts pods in parallel too; more would only be a longer queue
constexpr int kListCalls = 30;

void RecordLists(const Side& side, const BenchPod& pod, const Recorder& recorder, const std::string& prefix) {
  const Client& client = side.client();
  cri::PodSandboxStatusRequest sandbox;
  sandbox.set_pod_sandbox_id(pod.pod_id());
  cri::ContainerStatusRequest container;
  container.set_container_id(pod.container_id());
  cri::ContainerStatsRequest stats;
  stats.set_container_id(pod.container_id());
  const bool has_pod_stats =
      client.ListPodSandboxStats({}).status().code() != absl::StatusCode::kUnimplemented;
  if (!has_pod_stats) recorder.Note("ListPodSandboxStats is not implemented");
  for (int i = 0; i < kListCalls; ++i) {
    recorder.Time(prefix + "ListPodSandbox", [&] { return client.ListPodSandbox({}); });
    recorder.Time(prefix + "ListContainers", [&] { return client.ListContainers({}); });
    recorder.Time(prefix + "ListContainerStats", [&] { return client.ListContainerStats({}); });
    if (has_pod_stats)
      recorder.Time(prefix + "ListPodSandboxStats", [&] { return client.ListPodSandboxStats({}); });
    recorder.Time(prefix + "PodSandboxStatus", [&] { return client.PodSandboxStatus(sandbox); });
    recorder.Time(prefix + "ContainerStatus", [&] { return client.ContainerStatus(container); });
    recorder.Time(prefix + "ContainerStats", [&] { return client.ContainerStats(stats); });
    recorder.Time(prefix + "ListImages", [&] { return client.ListImages({}); });
    recorder.Time(prefix + "ImageFsInfo", [&] { return client.ImageFsInfo({}); });
    recorder.Time(prefix + "Status", [&] { return client.Status({}); });
  }
}

// kubelet 1.36's calls to a runtime at rest, with its periods in seconds; those of a minute and more are left
// out.
void PollOnce(const Client& client, int second, const std::vector<BenchPod>& pods) {
  Must(client.ListPodSandbox({}));  // the life cycle's event generator
  Must(client.ListContainers({}));
  if (second % 2 == 0) {  // housekeeping
    cri::ListPodSandboxRequest sandboxes;
    sandboxes.mutable_filter()->mutable_state()->set_state(cri::SANDBOX_READY);
    Must(client.ListPodSandbox(sandboxes));
    cri::ListContainersRequest containers;
    containers.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_RUNNING);
    Must(client.ListContainers(containers));
  }
  if (second % 5 == 0) Must(client.Status({}));
  if (second % 10 == 3) {  // eviction
    Must(client.ListContainers({}));
    Must(client.ListPodSandbox({}));
    Must(client.ListContainerStats({}));
    Must(client.ImageFsInfo({}));
  }
  if (second % 10 == 6) {  // log rotation, node status
    Must(client.ListContainers({}));
    for (const BenchPod& pod : pods) {
      cri::ContainerStatusRequest request;
      request.set_container_id(pod.container_id());
      Must(client.ContainerStatus(request));
    }
    Must(client.Version({}));
  }
  if (second % 30 == 9) Must(client.ListImages({}));
}

// CPU time of the daemon and its helpers per second, at rest and while kubelet asks.
void RecordPolling(const Side& side, const Options& options, const std::vector<BenchPod>& pods,
                   const Recorder& recorder, const std::string& prefix) {
  const auto cost = [&](const std::function<void(int)>& each_second) {
    const Clock::time_point start = Clock::now();
    const double before = side.CpuNow();
    for (int second = 0; second < options.poll_seconds; ++second) {
      each_second(second);
      std::this_thread::sleep_until(start + seconds(second + 1));
    }
    return (side.CpuNow() - before) * 1000 / SecondsSince(start);
  };
  recorder.Add({prefix + "CPU time at rest", "ms/s"}, cost([](int) {}));
  recorder.Add({prefix + "CPU time under kubelet's polling", "ms/s"},
               cost([&](int second) { PollOnce(side.client(), second, pods); }));
}

}  // namespace

void Density(Side& side, const Options& options, const Recorder& recorder) {
  side.Restart();
  Must(side.client().ListImages({}));
  side.Settle();
  const Memory idle = side.MemoryNow();
  recorder.Add({"memory/idle", "KiB"}, static_cast<double>(idle.daemon_kib + idle.helpers_kib));

  const Recorder nowhere = recorder.Discarding();
  std::vector<BenchPod> pods;
  pods.reserve(static_cast<size_t>(options.density.empty() ? 0 : options.density.back()));
  for (const int wanted : options.density) {
    const std::string prefix = std::to_string(wanted) + " pods/";
    Say(side.name() + ": filling up to " + std::to_string(wanted) + " pods");
    std::vector<BenchPod> more;
    for (size_t i = pods.size(); i < static_cast<size_t>(wanted); ++i) more.emplace_back(side, Work{});
    RunAll(&more, kAtATime, nowhere, "");
    for (const BenchPod& pod : more) pod.AwaitLine("ready");
    std::move(more.begin(), more.end(), std::back_inserter(pods));
    side.Settle();

    const Memory memory = side.MemoryNow();
    const double grown =
        static_cast<double>(memory.daemon_kib + memory.helpers_kib - idle.daemon_kib - idle.helpers_kib);
    recorder.Add({prefix + "memory of the daemon", "KiB"}, static_cast<double>(memory.daemon_kib));
    recorder.Add({prefix + "memory of the helpers", "KiB"}, static_cast<double>(memory.helpers_kib));
    recorder.Add({prefix + "memory per pod", "KiB"}, grown / wanted);
    if (memory.pause_kib > 0)
      recorder.Add({prefix + "pause processes, per pod", "KiB"},
                   static_cast<double>(memory.pause_kib) / wanted);
    RecordLists(side, pods.front(), recorder, "rpc/" + prefix);
    RecordPolling(side, options, pods, recorder, prefix);
    for (int i = 0; i < options.pods; ++i) {
      BenchPod another(side, {});
      another.Run(recorder, prefix);
      another.AwaitLine("ready");
      another.StopAndRemove(recorder, prefix);
    }
  }
  Say(side.name() + ": removing " + std::to_string(pods.size()) + " pods");
  StopAll(&pods, kAtATime, nowhere, "");
}

}  // namespace berth::e2e::bench
