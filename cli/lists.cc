// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "base/ids.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {

absl::Status PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return absl::InternalError(absl::StrCat("print JSON: ", std::string(status.message())));
  std::cout << text << std::flush;
  return absl::OkStatus();
}

std::string State(cri::ContainerState state) {
  switch (state) {
    case cri::CONTAINER_CREATED:
      return "created";
    case cri::CONTAINER_RUNNING:
      return "running";
    case cri::CONTAINER_EXITED:
      return "exited";
    default:
      return "unknown";
  }
}

std::string Age(std::int64_t created_at) { return Duration(base::RealtimeNs() - created_at); }

}  // namespace

absl::Status ShowVersion(Connection& daemon) {
  std::cout << "berth " << BERTH_VERSION << "\n";
  const auto version = daemon.Version();
  if (!version.ok()) return version.status();
  std::cout << "berthd " << version->version() << ", CRI level " << version->cri_level() << ", pid "
            << version->pid() << ", up " << Duration(base::RealtimeNs() - version->started_unix_ns()) << "\n";
  return absl::OkStatus();
}

absl::Status ListContainers(Connection& daemon, bool all, Output output) {
  cri::ListContainersRequest request;
  if (!all) request.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_RUNNING);
  auto containers = daemon.ListContainers(request);
  if (!containers.ok()) return containers.status();
  if (output == Output::kJson) return PrintJson(*containers);
  auto pods = daemon.ListPods({});
  if (!pods.ok()) return pods.status();
  std::map<std::string, std::string> pod_names;
  for (const auto& pod : pods->items())
    pod_names[pod.id()] = absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
  std::sort(containers->mutable_containers()->begin(), containers->mutable_containers()->end(),
            [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); });
  std::vector<std::vector<std::string>> rows{
      {"CONTAINER", "NAME", "ATTEMPT", "STATE", "REASON", "EXIT", "AGE", "POD", "IMAGE"}};
  for (const auto& container : containers->containers()) {
    std::string reason = "-";
    std::string exit = "-";
    if (container.state() == cri::CONTAINER_EXITED) {
      cri::ContainerStatusRequest one;
      one.set_container_id(container.id());
      if (auto status = daemon.ContainerStatus(one); status.ok()) {
        reason = status->status().reason();
        exit = absl::StrCat(status->status().exit_code());
      }
    }
    const std::string image = container.image().user_specified_image().empty()
                                  ? container.image().image()
                                  : container.image().user_specified_image();
    rows.push_back({base::ShortId(container.id()), Printable(container.metadata().name()),
                    absl::StrCat(container.metadata().attempt()), State(container.state()), reason, exit,
                    Age(container.created_at()), Printable(pod_names[container.pod_sandbox_id()]),
                    Printable(image)});
  }
  std::cout << Table(rows);
  return absl::OkStatus();
}

absl::Status ListPods(Connection& daemon, Output output) {
  auto pods = daemon.ListPods({});
  if (!pods.ok()) return pods.status();
  if (output == Output::kJson) return PrintJson(*pods);
  std::sort(pods->mutable_items()->begin(), pods->mutable_items()->end(),
            [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); });
  std::vector<std::vector<std::string>> rows{
      {"POD", "NAME", "NAMESPACE", "ATTEMPT", "STATE", "AGE", "HANDLER"}};
  for (const auto& pod : pods->items()) {
    rows.push_back({base::ShortId(pod.id()), Printable(pod.metadata().name()),
                    Printable(pod.metadata().namespace_()), absl::StrCat(pod.metadata().attempt()),
                    pod.state() == cri::SANDBOX_READY ? "ready" : "not ready", Age(pod.created_at()),
                    pod.runtime_handler().empty() ? "(default)" : pod.runtime_handler()});
  }
  std::cout << Table(rows);
  return absl::OkStatus();
}

absl::Status ListImages(Connection& daemon, Output output) {
  const auto images = daemon.ListImages({});
  if (!images.ok()) return images.status();
  if (output == Output::kJson) return PrintJson(*images);
  constexpr std::size_t kPrefix = sizeof("sha256:") - 1;
  std::vector<std::vector<std::string>> rows{{"IMAGE", "ID", "SIZE"}};
  for (const auto& image : images->images()) {
    const std::string name = image.repo_tags_size() > 0      ? absl::StrJoin(image.repo_tags(), ", ")
                             : image.repo_digests_size() > 0 ? image.repo_digests(0)
                                                             : "<none>";
    rows.push_back({Printable(name), image.id().substr(image.id().size() > kPrefix ? kPrefix : 0, 12),
                    Bytes(image.size())});
  }
  std::cout << Table(rows);
  return absl::OkStatus();
}

}  // namespace berth::cli
