// SPDX-License-Identifier: Apache-2.0
#include "daemon/app.h"

#include <grpcpp/impl/service_type.h>
#include <systemd/sd-daemon.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status.h"
#include "cgroupfs/cgroup.h"
#include "cri/services.h"
#include "daemon/grpc_threads.h"
#include "daemon/host.h"
#include "daemon/kept_socket.h"
#include "daemon/server.h"
#include "daemon/watchdog.h"
#include "image/image.h"
#include "network/network.h"
#include "runtime/oci/handler.h"
#include "runtime/rebuild.h"
#include "runtime/runtime.h"
#include "store/store.h"

namespace berth::daemon {
namespace {

// Calls that may block at the same time: kubelet asks for some 110 pods, and each may wait for a grace or a
// plugin.
constexpr int kMaxWorkers = 512;

// In the order of making; taken apart in the reverse order.
struct Parts {
  base::UniqueFd kept_socket;
  base::UniqueFd root_lock, state_lock;
  std::string monitor_program, unpack_program;
  std::shared_ptr<const cgroupfs::Host> cgroups;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<image::Images> images;
  std::unique_ptr<network::Network> network;
  std::shared_ptr<const runtime::oci::Handlers> handlers;
  std::unique_ptr<runtime::Runtime> runtime;
  std::unique_ptr<cri::Doctor> doctor;
  std::unique_ptr<cri::streaming::Server> streaming;
  std::unique_ptr<base::Executor> workers;
  std::unique_ptr<Server> server;
};

absl::Status TakeDirectories(const Config& config, Parts* parts) {
  BERTH_RETURN_IF_ERROR(OwnDirectory(config.root));
  BERTH_RETURN_IF_ERROR(OwnDirectory(config.state));
  BERTH_ASSIGN_OR_RETURN(parts->root_lock, LockDirectory(config.root));
  BERTH_ASSIGN_OR_RETURN(parts->state_lock, LockDirectory(config.state));
  BERTH_ASSIGN_OR_RETURN(parts->monitor_program, FindProgram("berth-monitor"));
  BERTH_ASSIGN_OR_RETURN(parts->unpack_program, FindProgram("berth-unpack"));
  BERTH_FAULT_POINT("daemon.imports_remove");
  // Archives whose import a dead daemon had begun.
  return base::ToStatus(base::RemoveTree(config.root + "/imports"));
}

absl::Status OpenStore(const Config& config, Parts* parts) {
  BERTH_ASSIGN_OR_RETURN(parts->store, store::Store::Open(config.root + "/berth.db"));
  if (const std::string moved = parts->store->quarantined(); !moved.empty()) {
    base::LogError("the database was unreadable; a new one was begun", {{"moved to", moved}});
  }
  runtime::RebuildOptions rebuild;
  rebuild.root = config.root;
  rebuild.state = config.state;
  rebuild.store = parts->store.get();
  return base::Annotate(runtime::RebuildRecords(rebuild), "make lost records anew");
}

absl::Status OpenImages(const Config& config, Parts* parts) {
  image::Options options;
  options.root = config.root;
  options.registry_config = config.registry.config_path;
  options.unpack_program = parts->unpack_program;
  options.store = parts->store.get();
  BERTH_ASSIGN_OR_RETURN(parts->images, image::Images::Open(std::move(options)));
  return absl::OkStatus();
}

absl::Status OpenNetwork(const Config& config, Parts* parts) {
  network::Options options;
  options.conf_dir = config.cni.conf_dir;
  options.bin_dirs = config.cni.bin_dirs;
  options.conf_template = config.cni.conf_template;
  BERTH_ASSIGN_OR_RETURN(parts->network, network::Network::Open(std::move(options)));
  return absl::OkStatus();
}

absl::Status ProbeHandlers(const Config& config, Parts* parts) {
  runtime::oci::ProbeOptions options;
  for (const auto& [name, handler] : config.handlers) options.handlers.push_back(handler);
  options.default_order = config.default_handlers;
  options.work_dir = config.state + "/probe";
  options.cgroup_root = config.cgroup.root;
  options.probe_program = parts->monitor_program;
  options.cache_file = config.state + "/handlers.json";
  options.layers_dir = config.root + "/containers";
  options.cgroups = parts->cgroups.get();
  BERTH_ASSIGN_OR_RETURN(parts->handlers, runtime::oci::Handlers::Probe(options));
  for (const auto& handler : parts->handlers->all()) {
    if (handler.usable) {
      base::LogInfo("OCI runtime works",
                    {{"handler", handler.name}, {"path", handler.path}, {"version", handler.version}});
    } else {
      base::LogWarning("OCI runtime does not work",
                       {{"handler", handler.name}, {"path", handler.path}, {"why", handler.why_not}});
    }
  }
  return absl::OkStatus();
}

absl::Status OpenRuntime(const Config& config, Parts* parts) {
  runtime::Options options;
  options.root = config.root;
  options.state = config.state;
  options.monitor_program = parts->monitor_program;
  options.cgroup_root = config.cgroup.root;
  options.kernel_log = config.kernel.log;
  options.defaults = config.defaults.containers;
  options.default_sysctls = config.defaults.sysctls;
  options.shm_bytes = config.defaults.shm_bytes;
  options.apparmor_parser = config.defaults.apparmor_parser;
  options.cdi_dirs = config.cdi.dirs;
  options.store = parts->store.get();
  options.images = parts->images.get();
  options.network = parts->network.get();
  options.cgroups = parts->cgroups;
  options.handlers = parts->handlers;
  BERTH_ASSIGN_OR_RETURN(parts->runtime, runtime::Runtime::Open(std::move(options)));
  return absl::OkStatus();
}

void MakeDoctor(const Config& config, Parts* parts) {
  cri::DoctorSources sources;
  sources.cgroups = parts->cgroups.get();
  sources.handlers = parts->handlers.get();
  sources.images = parts->images.get();
  sources.network = parts->network.get();
  sources.root = config.root;
  sources.state = config.state;
  sources.monitor_program = parts->monitor_program;
  sources.unpack_program = parts->unpack_program;
  sources.kernel_log = config.kernel.log;
  sources.quarantined_store = parts->store->quarantined();
  parts->doctor = std::make_unique<cri::Doctor>(std::move(sources));
  static_cast<void>(parts->doctor->Run());
  for (const auto& sentence : parts->doctor->Degradations())
    base::LogWarning("degraded", {{"what", sentence}});
}

absl::Status StartStreaming(const Config& config, Parts* parts) {
  cri::streaming::Options options;
  options.address = config.streaming.address;
  absl::Duration idle;
  if (!absl::ParseDuration(config.streaming.idle_timeout, &idle))
    return absl::InvalidArgumentError("streaming.idle_timeout is no duration");
  options.idle_timeout_ns = absl::ToInt64Nanoseconds(idle);
  options.max_sessions = config.streaming.max_sessions;
  options.max_sessions_per_pod = config.streaming.max_sessions_per_pod;
  const auto& tls = config.streaming.tls;
  options.tls = {tls.enabled, tls.certificate, tls.key, tls.client_ca, tls.min_version, tls.ciphers};
  BERTH_ASSIGN_OR_RETURN(parts->streaming, cri::streaming::Server::Start(options, *parts->runtime));
  return absl::OkStatus();
}

absl::Status Listen(const Config& config, Parts* parts) {
  BERTH_RETURN_IF_ERROR(ReserveGrpcThreads());
  parts->workers = std::make_unique<base::Executor>(kMaxWorkers, "berth-call");
  cri::Backend backend;
  backend.runtime = parts->runtime.get();
  backend.workers = parts->workers.get();
  backend.doctor = parts->doctor.get();
  backend.streaming = parts->streaming.get();
  backend.work_dir = config.root + "/imports";
  backend.started_at = base::RealtimeNs();
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(cri::MakeRuntimeService(backend));
  services.push_back(cri::MakeImageService(backend));
  services.push_back(cri::MakeOperatorService(backend));
  BERTH_ASSIGN_OR_RETURN(
      parts->server, Server::Start(config.grpc.socket, std::move(services), std::move(parts->kept_socket)));
  return absl::OkStatus();
}

// Says which part failed: "open the store: …".
absl::Status Step(const char* name, const absl::Status& status) { return base::Annotate(status, name); }

absl::Status Open(const Config& config, Parts* parts) {
  BERTH_RETURN_IF_ERROR(Step("take the directories", TakeDirectories(config, parts)));
  BERTH_ASSIGN_OR_RETURN(parts->cgroups, base::ToStatusOr(cgroupfs::Host::Detect()));
  BERTH_RETURN_IF_ERROR(Step("open the store", OpenStore(config, parts)));
  BERTH_RETURN_IF_ERROR(Step("open the images", OpenImages(config, parts)));
  BERTH_RETURN_IF_ERROR(Step("open the network", OpenNetwork(config, parts)));
  BERTH_RETURN_IF_ERROR(Step("probe the OCI runtimes", ProbeHandlers(config, parts)));
  BERTH_RETURN_IF_ERROR(Step("recover the pods", OpenRuntime(config, parts)));
  MakeDoctor(config, parts);
  BERTH_RETURN_IF_ERROR(Step("start the streaming server", StartStreaming(config, parts)));
  return Step("listen", Listen(config, parts));
}

}  // namespace

absl::Status Serve(const Config& config, StopSignals& stop) {
  Parts parts;
  parts.kept_socket = TakeKeptSocket(config.grpc.socket);
  BERTH_RETURN_IF_ERROR(Open(config, &parts));
  stop.Serving();
  base::LogInfo("serving",
                {{"socket", config.grpc.socket}, {"version", BERTH_VERSION}, {"root", config.root}});
  ::sd_notify(0, "READY=1");
  const Watchdog watchdog(
      [&](std::int64_t timeout_ns) { return CallOwnSocket(config.grpc.socket, timeout_ns); });

  const int signal = stop.WaitForStop();
  base::LogInfo("stopping; pods are left alone", {{"signal", base::SignalName(signal)}});
  ::sd_notify(0, "STOPPING=1");
  parts.server->Stop();
  parts.streaming->Stop();
  parts.workers->Stop();
  return absl::OkStatus();
}

}  // namespace berth::daemon
