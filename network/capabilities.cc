// SPDX-License-Identifier: Apache-2.0
#include "network/capabilities.h"

#include <arpa/inet.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/inherit.h"
#include "base/status.h"
#include "network/quantity.h"

namespace berth::network {
namespace {

// kubelet's own bounds for the bandwidth annotations, in bits per second.
constexpr std::int64_t kMinBandwidth = 1'000;
constexpr std::int64_t kMaxBandwidth = 1'000'000'000'000'000;
// Bits. The plugin must be given a burst; kubelet has always given "no limit" in 32 bits, and larger values
// overflow tc in old plugins.
constexpr std::int64_t kBurst = INT32_MAX;

bool IsIpAddress(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, text.c_str(), buffer) == 1 || ::inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

absl::StatusOr<Json> PortMappings(const PodNetwork& pod) {
  Json list = Json::array();
  std::map<std::tuple<std::string, std::string, int>, int> taken;
  for (const auto& mapping : pod.port_mappings) {
    const std::string shown =
        absl::StrCat("port mapping ", mapping.host_port, ":", mapping.container_port, "/", mapping.protocol);
    if (mapping.container_port < 0 || mapping.container_port > 65535 || mapping.host_port < 0 ||
        mapping.host_port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat(shown, " has a port outside 1 to 65535"));
    }
    if (mapping.host_port == 0) continue;  // nothing to publish
    if (mapping.container_port == 0)
      return absl::InvalidArgumentError(absl::StrCat(shown, " has no container port"));
    const std::string protocol = mapping.protocol.empty() ? "tcp" : absl::AsciiStrToLower(mapping.protocol);
    if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
      return absl::InvalidArgumentError(absl::StrCat(shown, " has a protocol other than tcp, udp and sctp"));
    }
    if (!mapping.host_ip.empty() && !IsIpAddress(mapping.host_ip)) {
      return absl::InvalidArgumentError(
          absl::StrCat(shown, " has a host address '", mapping.host_ip, "' that is no IP address"));
    }
    const auto [at, fresh] =
        taken.try_emplace({mapping.host_ip, protocol, mapping.host_port}, mapping.container_port);
    if (!fresh && at->second != mapping.container_port) {
      return absl::InvalidArgumentError(
          absl::StrCat(shown, " asks for a host port that another mapping of the pod has already"));
    }
    if (!fresh) continue;
    Json entry = {
        {"hostPort", mapping.host_port}, {"containerPort", mapping.container_port}, {"protocol", protocol}};
    if (!mapping.host_ip.empty()) entry["hostIP"] = mapping.host_ip;
    list.push_back(std::move(entry));
  }
  return list;
}

absl::Status AddRate(const PodNetwork& pod, const std::string& direction, Json& bandwidth) {
  const std::string key = absl::StrCat("kubernetes.io/", direction, "-bandwidth");
  const auto at = pod.annotations.find(key);
  if (at == pod.annotations.end()) return absl::OkStatus();
  const auto rate = ParseQuantity(at->second);
  if (!rate.ok()) return base::Annotate(rate.status(), absl::StrCat("annotation '", key, "'"));
  if (*rate < kMinBandwidth || *rate > kMaxBandwidth) {
    return absl::InvalidArgumentError(
        absl::StrCat("annotation '", key, "': '", at->second, "' is not between 1k and 1P bits per second"));
  }
  bandwidth[direction + "Rate"] = *rate;
  bandwidth[direction + "Burst"] = kBurst;
  return absl::OkStatus();
}

Json Dns(const PodNetwork& pod) {
  Json dns = Json::object();
  if (!pod.dns_servers.empty()) dns["servers"] = pod.dns_servers;
  if (!pod.dns_searches.empty()) dns["searches"] = pod.dns_searches;
  if (!pod.dns_options.empty()) dns["options"] = pod.dns_options;
  return dns;
}

bool IsContainerId(const std::string& id) {
  if (id.empty() || id.size() > 255 || !absl::ascii_isalnum(static_cast<unsigned char>(id[0]))) return false;
  return std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

void SetCommon(const Conflist& list, Json& request) {
  request.erase("prevResult");
  request.erase("runtimeConfig");
  // Keys under cni.dev/ are the runtime's: what a file claims there must not reach a plugin.
  std::vector<std::string> reserved;
  for (const auto& [key, value] : request.items()) {
    if (absl::StartsWith(key, "cni.dev/")) reserved.push_back(key);
  }
  for (const auto& key : reserved) request.erase(key);
  request["cniVersion"] = list.version.ToString();
  request["name"] = list.name;
}

}  // namespace

absl::StatusOr<Json> CapabilityArgs(const PodNetwork& pod) {
  Json args = Json::object();
  BERTH_ASSIGN_OR_RETURN(Json mappings, PortMappings(pod));
  if (!mappings.empty()) args["portMappings"] = std::move(mappings);
  Json bandwidth = Json::object();
  BERTH_RETURN_IF_ERROR(AddRate(pod, "ingress", bandwidth));
  BERTH_RETURN_IF_ERROR(AddRate(pod, "egress", bandwidth));
  if (!bandwidth.empty()) args["bandwidth"] = std::move(bandwidth);
  if (Json dns = Dns(pod); !dns.empty()) args["dns"] = std::move(dns);
  if (!pod.cgroup.empty()) args["cgroupPath"] = pod.cgroup;
  Json annotations = Json::object();
  for (const auto& [key, value] : pod.annotations) annotations[key] = value;
  args["io.kubernetes.cri.pod-annotations"] = std::move(annotations);
  return args;
}

absl::StatusOr<std::string> CniArgs(const PodNetwork& pod) {
  if (!IsContainerId(pod.pod_id))
    return absl::InvalidArgumentError(absl::StrCat("pod id '", pod.pod_id, "' cannot be a CNI container id"));
  const std::pair<const char*, const std::string*> fields[] = {{"K8S_POD_NAMESPACE", &pod.pod_namespace},
                                                               {"K8S_POD_NAME", &pod.pod_name},
                                                               {"K8S_POD_INFRA_CONTAINER_ID", &pod.pod_id},
                                                               {"K8S_POD_UID", &pod.pod_uid}};
  std::string args = "IgnoreUnknown=1";
  for (const auto& [key, value] : fields) {
    const bool clean = std::none_of(value->begin(), value->end(), [](unsigned char c) {
      return c == ';' || c == '=' || absl::ascii_iscntrl(c);
    });
    if (!clean)
      return absl::InvalidArgumentError(
          absl::StrCat("pod's name, namespace or uid '", *value, "' holds ';', '=' or a control character"));
    absl::StrAppend(&args, ";", key, "=", *value);
  }
  return args;
}

std::string RequestConfig(const Conflist& list, std::size_t index, const Json& capability_args,
                          const Json& prev_result) {
  Json request = list.plugins[index];
  SetCommon(list, request);
  Json runtime_config = Json::object();
  if (const Json* declared = FindObject(request, "capabilities")) {
    for (const auto& [capability, wanted] : declared->items()) {
      if (!wanted.is_boolean() || !wanted.get<bool>()) continue;
      if (const auto at = capability_args.find(capability); at != capability_args.end())
        runtime_config[capability] = *at;
    }
  }
  request.erase("capabilities");
  if (!runtime_config.empty()) request["runtimeConfig"] = std::move(runtime_config);
  if (!prev_result.is_null()) request["prevResult"] = prev_result;
  return ToText(request);
}

std::string NodeRequestConfig(const Conflist& list, std::size_t index, const Json& attachments) {
  Json request = list.plugins[index];
  SetCommon(list, request);
  if (!attachments.is_null()) {
    request["cni.dev/valid-attachments"] = attachments;
    // libcni has always sent this second name too, and there are plugins that read only it.
    request["cni.dev/attachments"] = attachments;
  }
  return ToText(request);
}

std::vector<std::string> PluginEnv(const char* const* own_env, const std::string& command,
                                   const std::vector<std::string>& bin_dirs) {
  static constexpr const char* kNotForPlugins[] = {"CNI_", "BERTH_", "LD_PRELOAD="};
  std::vector<std::string> env;
  bool path = false;
  for (std::string& entry : base::EnvironmentForOthers(own_env)) {
    if (std::any_of(std::begin(kNotForPlugins), std::end(kNotForPlugins),
                    [&](const char* prefix) { return absl::StartsWith(entry, prefix); }))
      continue;
    path = path || absl::StartsWith(entry, "PATH=");
    env.push_back(std::move(entry));
  }
  // Plugins call iptables, nft and tc by name.
  if (!path) env.emplace_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  env.push_back("CNI_COMMAND=" + command);
  env.push_back("CNI_PATH=" + absl::StrJoin(bin_dirs, ":"));
  return env;
}

void AddAttachmentEnv(std::vector<std::string>& env, const std::string& pod_id, const std::string& netns,
                      const std::string& args) {
  env.push_back("CNI_CONTAINERID=" + pod_id);
  env.push_back("CNI_NETNS=" + netns);
  env.push_back(absl::StrCat("CNI_IFNAME=", kInterface));
  env.push_back("CNI_ARGS=" + args);
}

}  // namespace berth::network
