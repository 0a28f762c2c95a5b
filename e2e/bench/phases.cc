// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/phases.h"

#include <unistd.h>

#include <ctime>
#include <fstream>

#include "e2e/bench/pod.h"
#include "e2e/cri/harness/files.h"

namespace berth::e2e::bench {
namespace {

// Seconds of the timestamp that a CRI log line begins with: RFC 3339, nanoseconds, UTC or an offset. Only
// differences are used, so the offset does not matter.
double LogTime(const std::string& line) {
  std::tm time{};
  const char* rest = ::strptime(line.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (rest == nullptr) throw TestError("no timestamp in log line '" + line.substr(0, 60) + "'");
  return static_cast<double>(::timegm(&time)) + (*rest == '.' ? std::strtod(rest, nullptr) : 0.0);
}

// First and last whole line of a file that is too large to be read as a whole.
std::pair<std::string, std::string> EndsOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string first, line, last;
  std::getline(in, first);
  in.seekg(0, std::ios::end);
  in.seekg(std::max<std::streamoff>(0, static_cast<std::streamoff>(in.tellg()) - 65536));
  while (std::getline(in, line)) last = line;
  return {first, last};
}

}  // namespace

const std::vector<Phase>& Phases() {
  static const std::vector<Phase> phases = {
      {"life", OnePodAfterAnother}, {"exec", Execs},   {"burst", Burst}, {"logs", Logs},
      {"streams", Streams},         {"pull", ColdPull}};
  return phases;
}

void OnePodAfterAnother(const Side& side, const Options& options, const Recorder& recorder) {
  const Client& client = side.client();
  for (int i = 0; i < options.pods; ++i) {
    BenchPod pod(side, {});
    cri::ImageStatusRequest image;
    image.mutable_image()->set_image(ImageName("busybox"));
    recorder.Time("rpc/ImageStatus", [&] { return client.ImageStatus(image); });
    pod.Run(recorder, "");
    cri::PodSandboxStatusRequest sandbox;
    sandbox.set_pod_sandbox_id(pod.pod_id());
    recorder.Time("rpc/PodSandboxStatus", [&] { return client.PodSandboxStatus(sandbox); });
    cri::ContainerStatusRequest container;
    container.set_container_id(pod.container_id());
    recorder.Time("rpc/ContainerStatus", [&] { return client.ContainerStatus(container); });
    cri::ContainerStatsRequest stats;
    stats.set_container_id(pod.container_id());
    recorder.Time("rpc/ContainerStats", [&] { return client.ContainerStats(stats); });
    pod.AwaitLine("ready");  // or SIGTERM would be lost on a process that has no handler yet
    pod.StopAndRemove(recorder, "");
  }
}

void Execs(const Side& side, const Options& options, const Recorder& recorder) {
  BenchPod pod(side, {});
  const Recorder nowhere = recorder.Discarding();
  pod.Run(nowhere, "");
  pod.AwaitLine("ready");
  cri::ExecSyncRequest request;
  request.set_container_id(pod.container_id());
  request.add_cmd("true");
  request.set_timeout(10);
  for (int i = 0; i < options.execs; ++i) {
    const auto reply = recorder.Time("rpc/ExecSync", [&] { return side.client().ExecSync(request); });
    if (reply.exit_code() != 0) throw TestError("`true` ended with " + std::to_string(reply.exit_code()));
  }
  pod.StopAndRemove(nowhere, "");
}

void Burst(const Side& side, const Options& options, const Recorder& recorder) {
  const std::string prefix = std::to_string(options.burst) + " at once/";
  std::vector<BenchPod> pods;
  for (int i = 0; i < options.burst; ++i) pods.emplace_back(side, Work{});
  Clock::time_point start = Clock::now();
  RunAll(&pods, options.burst, recorder, prefix);
  recorder.Add(Milliseconds(prefix + "all ready"), SecondsSince(start) * 1000);
  for (const BenchPod& pod : pods) pod.AwaitLine("ready");
  start = Clock::now();
  StopAll(&pods, options.burst, recorder, prefix);
  recorder.Add(Milliseconds(prefix + "all removed"), SecondsSince(start) * 1000);
}

void Logs(const Side& side, const Options& options, const Recorder& recorder) {
  const Recorder nowhere = recorder.Discarding();
  const long long bytes = static_cast<long long>(options.log_mib) << 20;
  Work work;
  work.command = {"faults", "wait", "/dev/shm/go", "--", "spew", std::to_string(bytes)};
  BenchPod pod(side, work);
  pod.Run(nowhere, "");
  const double cpu_before = side.CpuNow();
  cri::ExecSyncRequest go;
  go.set_container_id(pod.container_id());
  for (const char* word : {"touch", "/dev/shm/go"}) go.add_cmd(word);
  Must(side.client().ExecSync(go));
  pod.AwaitExit();
  const double cpu = side.CpuNow() - cpu_before;
  std::ifstream file(pod.log_path(), std::ios::binary | std::ios::ate);
  if (file.tellg() < bytes)
    throw TestError("the log has fewer bytes than were written: " + std::to_string(file.tellg()));
  const auto [first, last] = EndsOf(pod.log_path());
  const double mib = options.log_mib;
  recorder.Add({"log throughput", "MiB/s", true}, mib / std::max(LogTime(last) - LogTime(first), 1e-6));
  recorder.Add({"log CPU time", "ms/MiB"}, cpu * 1000 / mib);
  pod.StopAndRemove(nowhere, "");
}

void ColdPull(const Side& side, const Options& options, const Recorder& recorder) {
  cri::RemoveImageRequest remove;
  remove.mutable_image()->set_image(ImageName(options.pull_image));
  Must(side.client().RemoveImage(remove));  // of an image that is not there: no error, says the CRI
  side.Settle();
  ::sync();  // or this side would wait for what the others wrote
  cri::PullImageRequest pull;
  pull.mutable_image()->set_image(ImageName(options.pull_image));
  recorder.Time("image pull, cold", [&] { return side.client().PullImage(pull, seconds(300)); });
  recorder.Time("rpc/RemoveImage", [&] { return side.client().RemoveImage(remove); });
}

}  // namespace berth::e2e::bench
