// SPDX-License-Identifier: Apache-2.0
// What an exec's output and a forwarded port carry, on the protocol that kubelet speaks with every runtime.
#include <grpcpp/grpcpp.h>

#include "e2e/bench/phases.h"
#include "e2e/bench/pod.h"
#include "e2e/bench/spdy.h"
#include "proto/cri/v1/api.grpc.pb.h"

namespace berth::e2e::bench {
namespace {

constexpr int kPort = 7000;

// The URL of a session: no other phase asks for one.
template <typename Reply, typename Call>
std::string UrlFrom(const Side& side, const Call& call) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto stub = cri::RuntimeService::NewStub(
      grpc::CreateCustomChannel(side.endpoint(), grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  Reply reply;
  const grpc::Status status = call(*stub, &context, &reply);
  if (!status.ok()) throw TestError("no URL of a session: " + status.error_message());
  return reply.url();
}

// Reads `client` to its end: `data` must have brought `bytes`. From the first byte to the last, so that
// beginning the command or the connection does not count; CPU time of the side includes it.
void Measure(const Side& side, const Recorder& recorder, const std::string& what, SpdyClient* client,
             std::uint32_t error, std::uint32_t data, long long bytes, double cpu_before) {
  client->ReadToTheEnd();
  if (client->stream(data).bytes != bytes)
    throw TestError(what + ": " + std::to_string(client->stream(data).bytes) + " of " +
                    std::to_string(bytes) + " bytes came; the error stream says '" +
                    client->stream(error).head + "'");
  const double mib = static_cast<double>(bytes) / (1 << 20);
  recorder.Add({what + " throughput", "MiB/s", true}, mib / std::max(client->SecondsOfData(), 1e-6));
  recorder.Add({what + " CPU time", "ms/MiB"}, (side.CpuNow() - cpu_before) * 1000 / mib);
}

void ExecOutput(const Side& side, const BenchPod& pod, long long bytes, const Recorder& recorder) {
  cri::ExecRequest request;
  request.set_container_id(pod.container_id());
  for (const std::string& word : {std::string("faults"), std::string("spew"), std::to_string(bytes)})
    request.add_cmd(word);
  request.set_stdout(true);
  const double cpu = side.CpuNow();
  SpdyClient client(
      UrlFrom<cri::ExecResponse>(
          side, [&](auto& stub, auto* context, auto* reply) { return stub.Exec(context, request, reply); }),
      "v4.channel.k8s.io");
  const std::uint32_t error = client.Open({{"streamtype", "error"}});
  const std::uint32_t data = client.Open({{"streamtype", "stdout"}});
  Measure(side, recorder, "exec stdout", &client, error, data, bytes, cpu);
}

void ForwardedPort(const Side& side, const BenchPod& pod, long long bytes, const Recorder& recorder) {
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(pod.pod_id());
  request.add_port(kPort);
  const double cpu = side.CpuNow();
  SpdyClient client(UrlFrom<cri::PortForwardResponse>(side,
                                                      [&](auto& stub, auto* context, auto* reply) {
                                                        return stub.PortForward(context, request, reply);
                                                      }),
                    "portforward.k8s.io");
  const auto open = [&](const char* kind) {
    return client.Open({{"port", std::to_string(kPort)}, {"requestid", "1"}, {"streamtype", kind}});
  };
  const std::uint32_t error = open("error");
  const std::uint32_t data = open("data");
  Measure(side, recorder, "port-forward", &client, error, data, bytes, cpu);
}

}  // namespace

void Streams(const Side& side, const Options& options, const Recorder& recorder) {
  const Recorder nowhere = recorder.Discarding();
  const long long bytes = static_cast<long long>(options.stream_mib) << 20;
  Work work;
  work.command = {"faults", "serve", std::to_string(kPort), std::to_string(bytes)};
  BenchPod pod(side, work);
  pod.Run(nowhere, "");
  pod.AwaitLine("ready");
  ExecOutput(side, pod, bytes, recorder);
  side.Settle();
  ForwardedPort(side, pod, bytes, recorder);
  pod.StopAndRemove(nowhere, "");
}

}  // namespace berth::e2e::bench
