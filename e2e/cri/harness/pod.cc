// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/pod.h"

#include <absl/strings/str_join.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>

#include "e2e/cri/harness/cgroups.h"
#include "e2e/cri/harness/files.h"

namespace berth::e2e {
namespace {

std::string Unique(const std::string& prefix) {
  static std::atomic<int> next{1};
  return prefix + std::to_string(next++);
}

// A destructor cannot throw, but a failed removal is a failure of the test.
void Tell(const char* call, const absl::Status& status) {
  if (!status.ok()) ADD_FAILURE() << call << " at the end of its scope: " << status;
}

}  // namespace

cri::PodSandboxConfig PodConfig() {
  Environment& environment = Environment::Get();
  cri::PodSandboxConfig config;
  const std::string name = Unique("pod-");
  const std::string uid = "e2e-" + std::to_string(::getpid()) + "-" + name;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("e2e");
  config.mutable_metadata()->set_uid(uid);
  config.set_hostname(name);
  config.set_log_directory(environment.dir() + "/podlogs/e2e_" + name + "_" + uid);
  auto& labels = *config.mutable_labels();
  labels["io.kubernetes.pod.name"] = name;
  labels["io.kubernetes.pod.namespace"] = "e2e";
  labels["io.kubernetes.pod.uid"] = uid;
  config.mutable_linux()->set_cgroup_parent(environment.cgroup_root() + "/kubepods/burstable/pod" + uid);
  Namespaces(&config)->set_pid(cri::CONTAINER);
  config.mutable_linux()->mutable_security_context()->mutable_seccomp()->set_profile_type(
      cri::SecurityProfile::RuntimeDefault);
  return config;
}

cri::ContainerConfig Command(const std::vector<std::string>& argv, const std::string& image) {
  cri::ContainerConfig config = ImageDefault(image);
  for (const std::string& word : argv) config.add_command(word);
  return config;
}

cri::ContainerConfig Shell(const std::string& script) { return Command({"sh", "-c", script}); }

cri::ContainerConfig Faults(const std::vector<std::string>& arguments) {
  cri::ContainerConfig config = Command({"faults"});
  for (const std::string& word : arguments) config.add_args(word);
  return config;
}

cri::ContainerConfig Server() { return Faults({"term", "0"}); }

cri::ContainerConfig ImageDefault(const std::string& image) {
  cri::ContainerConfig config;
  const std::string name = Unique("ctr-");
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(Environment::Get().ImageId(image));
  config.mutable_image()->set_user_specified_image(Registry::Name(image + ":1"));
  config.set_log_path(name + "/0.log");
  (*config.mutable_labels())["io.kubernetes.container.name"] = name;
  Security(&config)->mutable_namespace_options()->set_pid(cri::CONTAINER);
  Security(&config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  return config;
}

cri::LinuxContainerResources* Resources(cri::ContainerConfig* config) {
  return config->mutable_linux()->mutable_resources();
}

cri::LinuxContainerSecurityContext* Security(cri::ContainerConfig* config) {
  return config->mutable_linux()->mutable_security_context();
}

cri::NamespaceOption* Namespaces(cri::PodSandboxConfig* config) {
  return config->mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

Pod::Pod(cri::PodSandboxConfig config, Here where) : config_(std::move(config)) {
  if (!config_.log_directory().empty()) MakeDirs(config_.log_directory());  // kubelet's part
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config_;
  id_ = Must(Cri().RunPodSandbox(request, seconds(120)), where).pod_sandbox_id();
}

Pod::~Pod() {
  if (id_.empty()) return;
  static_cast<void>(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(id_), seconds(30)));
  Tell("RemovePodSandbox",
       Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(id_), seconds(30)).status());
}

cri::PodSandboxStatus Pod::Status(Here where) const {
  return Must(Cri().PodSandboxStatus(WithPod<cri::PodSandboxStatusRequest>(id_)), where).status();
}

void Pod::Stop(Here where) const {
  Must(Cri().StopPodSandbox(WithPod<cri::StopPodSandboxRequest>(id_)), where);
}

void Pod::Remove(Here where) {
  Must(Cri().RemovePodSandbox(WithPod<cri::RemovePodSandboxRequest>(id_)), where);
  id_.clear();
}

cri::CreateContainerRequest CreateRequest(const Pod& pod, const cri::ContainerConfig& config) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod.id());
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod.config();
  return request;
}

Container::Container(const Pod& pod, cri::ContainerConfig config, Here where) : config_(std::move(config)) {
  log_path_ = pod.config().log_directory() + "/" + config_.log_path();
  if (!pod.config().log_directory().empty()) MakeDirs(log_path_.substr(0, log_path_.rfind('/')));
  id_ = Must(Cri().CreateContainer(CreateRequest(pod, config_)), where).container_id();
  cgroup_ = pod.cgroup() + "/" + id_;
}

Container::~Container() {
  if (id_.empty()) return;
  cri::StopContainerRequest stop;
  stop.set_container_id(id_);
  static_cast<void>(Cri().StopContainer(stop, seconds(30)));
  Tell("RemoveContainer",
       Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(id_), seconds(30)).status());
}

Container Container::Run(const Pod& pod, cri::ContainerConfig config, Here where) {
  Container container(pod, std::move(config), where);
  container.Start(where);
  return container;
}

void Container::Start(Here where) const {
  Must(Cri().StartContainer(WithContainer<cri::StartContainerRequest>(id_)), where);
}

void Container::Stop(int timeout_seconds, Here where) const {
  cri::StopContainerRequest request;
  request.set_container_id(id_);
  request.set_timeout(timeout_seconds);
  Must(Cri().StopContainer(request, seconds(timeout_seconds + 30)), where);
}

void Container::Remove(Here where) {
  Must(Cri().RemoveContainer(WithContainer<cri::RemoveContainerRequest>(id_)), where);
  id_.clear();
}

cri::ContainerStatus Container::Status(Here where) const {
  return Must(Cri().ContainerStatus(WithContainer<cri::ContainerStatusRequest>(id_)), where).status();
}

cri::ContainerStatus Container::WaitExit(Clock::duration patience, Here where) const {
  cri::ContainerStatus status;
  const bool ended = Eventually(
      [&] {
        status = Status(where);
        return status.state() == cri::CONTAINER_EXITED;
      },
      patience);
  if (!ended)
    throw TestError(At(where) + "container still " + cri::ContainerState_Name(status.state()) +
                    "; it wrote:\n" + Text());
  return status;
}

void Container::WaitLine(const std::string& text, Clock::duration patience, Here where) const {
  const bool found = Eventually([&] { return Text().find(text) != std::string::npos; }, patience);
  if (!found) throw TestError(At(where) + "no line with '" + text + "' in:\n" + Text());
}

std::string Container::Text() const { return absl::StrJoin(Output(), "\n"); }

cri::ExecSyncResponse Container::Exec(const std::vector<std::string>& argv, int timeout_seconds,
                                      Here where) const {
  cri::ExecSyncRequest request;
  request.set_container_id(id_);
  for (const std::string& word : argv) request.add_cmd(word);
  request.set_timeout(timeout_seconds);
  return Must(Cri().ExecSync(request, seconds(timeout_seconds + 30)), where);
}

std::string Container::Sh(const std::string& script, Here where) const {
  const cri::ExecSyncResponse reply = Exec({"sh", "-c", script}, Patient(20), where);
  if (reply.exit_code() != 0) {
    throw TestError(At(where) + "'" + script + "' ended with " + std::to_string(reply.exit_code()) + ": " +
                    reply.stdout() + reply.stderr());
  }
  std::string output = reply.stdout();
  if (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

std::vector<pid_t> Container::Pids() const { return CgroupPids(cgroup_); }

pid_t Container::Pid(Here where) const {
  const std::vector<pid_t> pids = Pids();
  if (pids.empty()) throw TestError(At(where) + "no process in cgroup '" + cgroup_ + "'");
  for (const pid_t pid : pids) {
    const std::string status = TryReadFile("/proc/" + std::to_string(pid) + "/status").value_or("");
    const size_t line = status.find("NSpid:");
    if (line == std::string::npos) continue;
    const std::string words = Trim(status.substr(line, status.find('\n', line) - line));
    if (words.substr(words.rfind('\t') + 1) == "1") return pid;
  }
  return pids.front();  // a PID namespace shared with the pod or the node: the oldest, as good as any
}

std::string OutputOf(const Pod& pod, cri::ContainerConfig config, int exit_code, Here where) {
  const Container container = Container::Run(pod, std::move(config), where);
  const cri::ContainerStatus status = container.WaitExit(seconds(30), where);
  if (status.exit_code() != exit_code) {
    throw TestError(At(where) + "ended with " + std::to_string(status.exit_code()) + " (" + status.reason() +
                    ": " + status.message() + "), wrote:\n" + container.Text());
  }
  return container.Text();
}

}  // namespace berth::e2e
