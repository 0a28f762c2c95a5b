// SPDX-License-Identifier: Apache-2.0
// Pods and containers as tests write them: sane defaults, edited in place, stopped and removed when dropped.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include "e2e/cri/harness/environment.h"
#include "e2e/cri/harness/log.h"

namespace berth::e2e {

using Here = std::source_location;

// Configurations as kubelet fills them. Each call gives new names.
cri::PodSandboxConfig PodConfig();
cri::ContainerConfig Command(const std::vector<std::string>& argv, const std::string& image = "busybox");
cri::ContainerConfig Shell(const std::string& script);
cri::ContainerConfig Faults(
    const std::vector<std::string>& arguments);               // in the busybox image: /usr/bin/faults
cri::ContainerConfig ImageDefault(const std::string& image);  // neither command nor args
// A program that is there until SIGTERM, and then exits with 0 at once.
cri::ContainerConfig Server();

cri::LinuxContainerResources* Resources(cri::ContainerConfig* config);
cri::LinuxContainerSecurityContext* Security(cri::ContainerConfig* config);
cri::NamespaceOption* Namespaces(cri::PodSandboxConfig* config);
inline cri::ContainerConfig WithMemory(cri::ContainerConfig config, long long bytes) {
  Resources(&config)->set_memory_limit_in_bytes(bytes);
  if (Resources(&config)->memory_swap_limit_in_bytes() == 0)
    Resources(&config)->set_memory_swap_limit_in_bytes(bytes);
  return config;
}
constexpr long long kMiB = 1024 * 1024;

class Pod {
 public:
  // Runs it. Throws TestError when the runtime refuses.
  explicit Pod(cri::PodSandboxConfig config = PodConfig(), Here where = Here::current());
  Pod(Pod&& other) noexcept : config_(std::move(other.config_)), id_(std::exchange(other.id_, {})) {}
  ~Pod();

  cri::PodSandboxStatus Status(Here where = Here::current()) const;
  void Stop(Here where = Here::current()) const;
  void Remove(Here where = Here::current());
  std::string Ip() const { return Status().network().ip(); }

  const std::string& id() const { return id_; }
  const cri::PodSandboxConfig& config() const { return config_; }
  const std::string& cgroup() const { return config_.linux().cgroup_parent(); }

 private:
  cri::PodSandboxConfig config_;
  std::string id_;
};

class Container {
 public:
  // Creates it, no more.
  Container(const Pod& pod, cri::ContainerConfig config, Here where = Here::current());
  Container(Container&& other) noexcept
      : config_(std::move(other.config_)),
        id_(std::exchange(other.id_, {})),
        log_path_(other.log_path_),
        cgroup_(other.cgroup_) {}
  ~Container();
  static Container Run(const Pod& pod, cri::ContainerConfig config, Here where = Here::current());

  void Start(Here where = Here::current()) const;
  void Stop(int timeout_seconds, Here where = Here::current()) const;
  void Remove(Here where = Here::current());
  cri::ContainerStatus Status(Here where = Here::current()) const;
  // The status once the container is EXITED.
  cri::ContainerStatus WaitExit(Clock::duration patience = seconds(30), Here where = Here::current()) const;
  // Waits until the application's output has a line that contains `text`.
  void WaitLine(const std::string& text, Clock::duration patience = seconds(15),
                Here where = Here::current()) const;
  std::vector<std::string> Output(const std::string& stream = "") const {
    return LogLines(ReadLog(log_path_), stream);
  }
  std::string Text() const;  // Output(), one line per line

  cri::ExecSyncResponse Exec(const std::vector<std::string>& argv, int timeout_seconds = Patient(20),
                             Here where = Here::current()) const;
  // stdout of a shell script that must end with 0, without the last newline.
  std::string Sh(const std::string& script, Here where = Here::current()) const;

  pid_t Pid(Here where = Here::current()) const;  // host pid of PID 1
  std::vector<pid_t> Pids() const;                // host pids of all its processes

  const std::string& id() const { return id_; }
  const cri::ContainerConfig& config() const { return config_; }
  const std::string& log_path() const { return log_path_; }
  const std::string& cgroup() const { return cgroup_; }

 private:
  cri::ContainerConfig config_;
  std::string id_;
  std::string log_path_;
  std::string cgroup_;
};

// Runs a container to its end and gives what it wrote; throws when it ended with another code than
// `exit_code`.
std::string OutputOf(const Pod& pod, cri::ContainerConfig config, int exit_code = 0,
                     Here where = Here::current());

cri::CreateContainerRequest CreateRequest(const Pod& pod, const cri::ContainerConfig& config);
template <typename Request>
Request WithContainer(const std::string& id) {
  Request request;
  request.set_container_id(id);
  return request;
}
template <typename Request>
Request WithPod(const std::string& id) {
  Request request;
  request.set_pod_sandbox_id(id);
  return request;
}

}  // namespace berth::e2e
