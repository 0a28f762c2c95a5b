// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/json_util.h>
#include <poll.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {

constexpr int kPollMs = 100;

// In a JSON file an environment value is plain text; protobuf's JSON form of bytes is base64.
void EncodeEnv(nlohmann::json& config) {
  if (!config.contains("envs") || !config["envs"].is_array()) return;
  for (auto& env : config["envs"]) {
    if (!env.is_object() || !env.contains("value") || !env["value"].is_string()) continue;
    env["value"] = absl::Base64Escape(env["value"].get<std::string>());
  }
}

absl::Status Parse(const std::string& file, google::protobuf::Message* message) {
  auto text = base::ReadFile(file);
  if (!text.ok()) return base::ToStatus(text.error());
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(*text);
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("'", file, "': ", error.what()));
  }
  EncodeEnv(json);
  const auto parsed = google::protobuf::util::JsonStringToMessage(json.dump(), message);
  if (!parsed.ok())
    return absl::InvalidArgumentError(absl::StrCat("'", file, "': ", std::string(parsed.message())));
  return absl::OkStatus();
}

absl::Status EnsureImage(Connection& daemon, const cri::ImageSpec& image, const cri::PodSandboxConfig& pod) {
  cri::ImageStatusRequest request;
  *request.mutable_image() = image;
  const auto status = daemon.ImageStatus(request);
  if (!status.ok()) return status.status();
  if (status->has_image()) return absl::OkStatus();
  std::cerr << "pulling " << Printable(image.image()) << "\n";
  cri::PullImageRequest pull;
  *pull.mutable_image() = image;
  *pull.mutable_sandbox_config() = pod;
  return daemon.PullImage(pull).status();
}

absl::StatusOr<cri::ContainerStatus> WaitExited(Connection& daemon, const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  for (;;) {
    auto status = daemon.ContainerStatus(request);
    if (!status.ok()) return status.status();
    if (status->status().state() == cri::CONTAINER_EXITED) return status->status();
    ::poll(nullptr, 0, kPollMs);
  }
}

absl::Status RunInPod(Connection& daemon, const RunOptions& options, const std::string& pod_id,
                      const cri::PodSandboxConfig& pod, const cri::ContainerConfig& container,
                      int* exit_code) {
  cri::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod_id);
  *create.mutable_config() = container;
  *create.mutable_sandbox_config() = pod;
  const auto created = daemon.CreateContainer(create);
  if (!created.ok()) return created.status();
  if (auto started = daemon.StartContainer(created->container_id()); !started.ok()) {
    std::cout << created->container_id() << "\n";
    return started;
  }
  std::cout << created->container_id() << std::endl;
  if (!options.wait) return absl::OkStatus();
  const auto ended = WaitExited(daemon, created->container_id());
  if (!ended.ok()) return ended.status();
  std::cerr << ended->reason() << ", exit code " << ended->exit_code();
  if (!ended->message().empty()) std::cerr << ": " << Printable(ended->message());
  std::cerr << "\n";
  *exit_code = ended->exit_code();
  return absl::OkStatus();
}

}  // namespace

absl::Status Run(Connection& daemon, const RunOptions& options, int* exit_code) {
  cri::RunPodSandboxRequest request;
  cri::ContainerConfig container;
  BERTH_RETURN_IF_ERROR(Parse(options.pod_file, request.mutable_config()));
  BERTH_RETURN_IF_ERROR(Parse(options.container_file, &container));
  request.set_runtime_handler(options.handler);
  BERTH_RETURN_IF_ERROR(EnsureImage(daemon, container.image(), request.config()));
  const auto pod = daemon.RunPod(request);
  if (!pod.ok()) return pod.status();
  const absl::Status ran =
      RunInPod(daemon, options, pod->pod_sandbox_id(), request.config(), container, exit_code);
  if (!options.remove || !options.wait) return ran;
  const absl::Status removed = RemovePod(daemon, pod->pod_sandbox_id());
  return ran.ok() ? removed : ran;
}

absl::Status RemovePod(Connection& daemon, const std::string& id) {
  BERTH_RETURN_IF_ERROR(daemon.StopPod(id));
  return daemon.RemovePod(id);
}

}  // namespace berth::cli
