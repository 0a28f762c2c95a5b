// SPDX-License-Identifier: Apache-2.0
#include "cri/status_reply.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth::cri {
namespace {

namespace v1 = ::runtime::v1;
using nlohmann::json;

// kubeadm reads this name and warns about any other, though we run no pause container at all.
constexpr char kSandboxImage[] = "registry.k8s.io/pause:3.10.2";

void AddCondition(v1::StatusResponse* reply, const std::string& type, bool status, const std::string& reason,
                  const std::string& message) {
  auto* condition = reply->mutable_status()->add_conditions();
  condition->set_type(type);
  condition->set_status(status);
  condition->set_reason(reason);
  condition->set_message(message);
}

void AddHandler(v1::StatusResponse* reply, const std::string& name,
                const runtime::oci::HandlerFeatures& features) {
  auto* handler = reply->add_runtime_handlers();
  handler->set_name(name);
  handler->mutable_features()->set_recursive_read_only_mounts(features.recursive_read_only_mounts);
  handler->mutable_features()->set_user_namespaces(features.user_namespaces);
}

void FillConditions(const Backend& backend, v1::StatusResponse* reply) {
  const auto not_ready = backend.runtime->NotReadyReason();
  AddCondition(reply, "RuntimeReady", !not_ready, not_ready ? "NoHandlerWorks" : "", not_ready.value_or(""));
  const auto network = backend.runtime->options().network->state();
  AddCondition(reply, "NetworkReady", network.ready, network.ready ? "" : network.reason,
               network.ready ? "" : network.message);
  const auto degradations = backend.doctor->Degradations();
  if (!degradations.empty()) {
    AddCondition(reply, "HostFullySupported", false, "Degraded", absl::StrJoin(degradations, "; "));
  }
}

void FillHandlers(const runtime::oci::Handlers& handlers, v1::StatusResponse* reply) {
  // Under the empty name as well: kubelet takes a missing default for one without features.
  if (const auto* chosen = handlers.Default()) AddHandler(reply, "", chosen->features);
  for (const auto& handler : handlers.all()) {
    if (handler.usable) AddHandler(reply, handler.name, handler.features);
  }
  auto* features = reply->mutable_features();
  features->set_supplemental_groups_policy(true);
  const auto* chosen = handlers.Default();
  features->set_user_namespaces_host_network(chosen != nullptr && chosen->features.user_namespaces);
  features->set_mount_options(true);
}

json HandlersInfo(const runtime::oci::Handlers& handlers) {
  json info = json::array();
  for (const auto& handler : handlers.all()) {
    json one = {{"name", handler.name},
                {"path", handler.path},
                {"version", handler.version},
                {"usable", handler.usable},
                {"default", &handler == handlers.Default()}};
    if (!handler.usable) one["whyNot"] = handler.why_not;
    if (!handler.features.no_seccomp.empty()) one["noSeccomp"] = handler.features.no_seccomp;
    if (!handler.features.no_user_namespaces.empty())
      one["noUserNamespaces"] = handler.features.no_user_namespaces;
    if (!handler.hide_mount.empty()) one["hiddenMount"] = handler.hide_mount;
    info.push_back(std::move(one));
  }
  return info;
}

json ConfigInfo(const runtime::Options& options) {
  return {{"sandboxImage", kSandboxImage},
          {"root", options.root},
          {"state", options.state},
          {"cgroupRoot", options.cgroup_root},
          {"cgroupDriver", "cgroupfs"}};
}

void FillInfo(const Backend& backend, v1::StatusResponse* reply) {
  const auto& options = backend.runtime->options();
  const auto put = [&](const char* key, const json& value) {
    (*reply->mutable_info())[key] = value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  put("config", ConfigInfo(options));
  // crictl shows objects as JSON, anything else as one quoted string: so lists are wrapped.
  put("handlers", {{"all", HandlersInfo(*options.handlers)}});
  put("cgroup",
      {{"version", options.cgroups->version() == cgroupfs::Version::kV2 ? 2 : 1}, {"driver", "cgroupfs"}});
  std::string why;
  const bool overlay = options.images->overlay_works(&why);
  put("overlay", overlay ? json{{"works", true}} : json{{"works", false}, {"whyNot", why}});
  put("degradations", {{"all", backend.doctor->Degradations()}});
}

}  // namespace

void FillStatus(const Backend& backend, bool verbose, v1::StatusResponse* reply) {
  if (verbose) static_cast<void>(backend.doctor->Run());
  FillConditions(backend, reply);
  FillHandlers(*backend.runtime->options().handlers, reply);
  if (verbose) FillInfo(backend, reply);
}

}  // namespace berth::cri
