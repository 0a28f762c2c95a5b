// SPDX-License-Identifier: Apache-2.0
#include "cri/verbose.h"

#include <nlohmann/json.hpp>

#include "cri/bundle_view.h"

namespace berth::cri {
namespace {

using nlohmann::json;

std::map<std::string, std::string> Info(const json& info) {
  return {{"info", info.dump(-1, ' ', false, json::error_handler_t::replace)}};
}

}  // namespace

std::map<std::string, std::string> PodInfo(const runtime::PodStatus& pod) {
  return Info({{"runtimeHandler", pod.runtime_handler},
               {"networkNamespace", pod.network_namespace},
               {"cgroup", pod.cgroup},
               {"cgroupMadeByBerth", pod.cgroup_is_ours},
               {"addresses", pod.ips},
               {"hostname", pod.config.hostname},
               {"logDirectory", pod.config.log_directory},
               {"message", pod.message}});
}

std::map<std::string, std::string> ContainerInfo(const runtime::Runtime& runtime,
                                                 const runtime::ContainerStatus& container) {
  json info = {{"sandboxID", container.pod_id}, {"pid", container.pid}, {"cgroup", container.cgroup}};
  info["runtimeSpec"] = BundleSpec(runtime.options(), container);
  if (container.state == runtime::ContainerState::kExited) {
    const auto explanation = runtime.Explain(container.id);
    if (explanation.ok() && explanation->record) {
      info["exitRecord"] =
          json::parse(monitor::ToJson(*explanation->record), nullptr, /*allow_exceptions=*/false);
    }
  }
  return Info(info);
}

}  // namespace berth::cri
