// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/pod.h"

#include <unistd.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/registry.h"

namespace berth::e2e::bench {
namespace {

void ForAll(std::vector<BenchPod>* pods, int width, const std::function<void(BenchPod&)>& act) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
  for (int i = 0; i < width; ++i) {
    threads.emplace_back([&] {
      for (size_t at = next++; at < pods->size(); at = next++) {
        try {
          act((*pods)[at]);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
          next = pods->size();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

void Mount(cri::ContainerConfig* config, const std::string& host, const std::string& inside) {
  WriteFile(host, inside == "/etc/hosts" ? "127.0.0.1 localhost\n" : "", 0666);
  cri::Mount* mount = config->add_mounts();
  mount->set_host_path(host);
  mount->set_container_path(inside);
}

}  // namespace

std::string ImageName(const std::string& image) { return Registry::Address() + "/" + image + ":1"; }

BenchPod::BenchPod(const Side& side, const Work& work) : side_(side) {
  static std::atomic<int> next{1};
  const std::string name = "bench-" + std::to_string(next++);
  const std::string uid = std::to_string(::getpid()) + "-" + name;
  pod_.mutable_metadata()->set_name(name);
  pod_.mutable_metadata()->set_namespace_("bench");
  pod_.mutable_metadata()->set_uid(uid);
  pod_.set_hostname(name);
  pod_.set_log_directory(side.log_dir() + "/" + uid);
  auto& labels = *pod_.mutable_labels();
  labels["app"] = "bench";
  labels["io.kubernetes.pod.name"] = name;
  labels["io.kubernetes.pod.namespace"] = "bench";
  labels["io.kubernetes.pod.uid"] = uid;
  (*pod_.mutable_annotations())["kubernetes.io/config.source"] = "api";
  if (!side.cgroup_parent().empty()) {
    pod_.mutable_linux()->set_cgroup_parent(side.cgroup_parent() + "/kubepods/burstable/pod" + uid);
    MakeCgroup(pod_.linux().cgroup_parent());
  }
  auto* security = pod_.mutable_linux()->mutable_security_context();
  security->mutable_namespace_options()->set_pid(cri::CONTAINER);
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  // kubelet asks its DNS server; without this a runtime copies the host's file.
  pod_.mutable_dns_config()->add_servers("10.96.0.10");
  pod_.mutable_dns_config()->add_searches("bench.svc.cluster.local");

  container_.mutable_metadata()->set_name("main");
  container_.mutable_image()->set_image(ImageName(work.image));
  container_.mutable_image()->set_user_specified_image(ImageName(work.image));
  for (const std::string& word : work.command) container_.add_command(word);
  container_.set_log_path("main/0.log");
  log_path_ = pod_.log_directory() + "/main/0.log";
  MakeDirs(pod_.log_directory() + "/main");
  for (int i = 0; i < 12; ++i) {  // the variables of a few services
    cri::KeyValue* env = container_.add_envs();
    env->set_key("SERVICE_" + std::to_string(i) + "_HOST");
    env->set_value("10.96.0." + std::to_string(i));
  }
  Mount(&container_, pod_.log_directory() + "/hosts", "/etc/hosts");
  Mount(&container_, pod_.log_directory() + "/termination-log", "/dev/termination-log");
  auto* resources = container_.mutable_linux()->mutable_resources();
  resources->set_memory_limit_in_bytes(work.memory_limit_bytes);
  resources->set_cpu_shares(102);
  resources->set_cpu_period(100000);
  resources->set_oom_score_adj(999);
  auto* inside = container_.mutable_linux()->mutable_security_context();
  inside->mutable_namespace_options()->set_pid(cri::CONTAINER);
  inside->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  for (auto& [key, value] : labels) (*container_.mutable_labels())[key] = value;
  (*container_.mutable_labels())["io.kubernetes.container.name"] = "main";
}

void BenchPod::Run(const Recorder& recorder, const std::string& prefix) {
  const Client& client = side_.client();
  const std::string rpc = "rpc/" + prefix;
  const Clock::time_point start = Clock::now();
  cri::RunPodSandboxRequest run;
  *run.mutable_config() = pod_;
  pod_id_ = recorder.Time(rpc + "RunPodSandbox", [&] { return client.RunPodSandbox(run); }).pod_sandbox_id();
  cri::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod_id_);
  *create.mutable_config() = container_;
  *create.mutable_sandbox_config() = pod_;
  container_id_ =
      recorder.Time(rpc + "CreateContainer", [&] { return client.CreateContainer(create); }).container_id();
  cri::StartContainerRequest begin;
  begin.set_container_id(container_id_);
  recorder.Time(rpc + "StartContainer", [&] { return client.StartContainer(begin); });
  recorder.Add(Milliseconds(prefix + "pod ready"), SecondsSince(start) * 1000);
}

void BenchPod::StopAndRemove(const Recorder& recorder, const std::string& prefix) {
  const Client& client = side_.client();
  const std::string rpc = "rpc/" + prefix;
  const Clock::time_point start = Clock::now();
  cri::StopContainerRequest stop;
  stop.set_container_id(container_id_);
  stop.set_timeout(30);
  recorder.Time(rpc + "StopContainer", [&] { return client.StopContainer(stop); });
  cri::StopPodSandboxRequest end;
  end.set_pod_sandbox_id(pod_id_);
  recorder.Time(rpc + "StopPodSandbox", [&] { return client.StopPodSandbox(end); });
  cri::RemoveContainerRequest remove;
  remove.set_container_id(container_id_);
  recorder.Time(rpc + "RemoveContainer", [&] { return client.RemoveContainer(remove); });
  cri::RemovePodSandboxRequest forget;
  forget.set_pod_sandbox_id(pod_id_);
  recorder.Time(rpc + "RemovePodSandbox", [&] { return client.RemovePodSandbox(forget); });
  recorder.Add(Milliseconds(prefix + "stop and remove"), SecondsSince(start) * 1000);
  if (!pod_.linux().cgroup_parent().empty()) DestroyCgroup(pod_.linux().cgroup_parent());
  std::error_code error;
  std::filesystem::remove_all(pod_.log_directory(), error);
}

void BenchPod::AwaitLine(const std::string& text) const {
  const auto there = [&] {
    return TryReadFile(log_path_).value_or("").find(text + "\n") != std::string::npos;
  };
  if (!Eventually(there, seconds(60), milliseconds(2)))
    throw TestError("no line '" + text + "' in '" + log_path_ + "' within 60 s");
}

void BenchPod::AwaitExit() const {
  cri::ContainerStatusRequest request;
  request.set_container_id(container_id_);
  const auto ended = [&] {
    return Must(side_.client().ContainerStatus(request)).status().state() == cri::CONTAINER_EXITED;
  };
  if (!Eventually(ended, seconds(120), milliseconds(20)))
    throw TestError("a container did not end within 120 s");
}

void RunAll(std::vector<BenchPod>* pods, int width, const Recorder& recorder, const std::string& prefix) {
  ForAll(pods, width, [&](BenchPod& pod) { pod.Run(recorder, prefix); });
}

void StopAll(std::vector<BenchPod>* pods, int width, const Recorder& recorder, const std::string& prefix) {
  ForAll(pods, width, [&](BenchPod& pod) { pod.StopAndRemove(recorder, prefix); });
}

}  // namespace berth::e2e::bench
