// SPDX-License-Identifier: Apache-2.0
#include "cri/bundle_view.h"

#include "base/files.h"
#include "runtime/core.h"

namespace berth::cri {

nlohmann::json BundleSpec(const runtime::Options& options, const runtime::ContainerStatus& container) {
  const runtime::ContainerPlaces places(options, container.pod_id, container.id);
  const auto text = base::ReadFile(places.state + "/config.json");
  if (!text.ok()) return nullptr;
  auto spec = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return spec.is_object() ? std::move(spec) : nlohmann::json();
}

std::vector<std::string> BundleCommand(const runtime::Options& options,
                                       const runtime::ContainerStatus& container) {
  std::vector<std::string> command;
  const nlohmann::json spec = BundleSpec(options, container);
  if (spec.contains("process") && spec["process"].is_object() && spec["process"].contains("args")) {
    for (const auto& argument : spec["process"]["args"]) {
      if (argument.is_string()) command.push_back(argument.get<std::string>());
    }
  }
  if (!command.empty()) return command;
  command = container.config.command;
  command.insert(command.end(), container.config.args.begin(), container.config.args.end());
  return command;
}

}  // namespace berth::cri
