// SPDX-License-Identifier: Apache-2.0
// Attachments as JSON. The form is additive: readers ignore keys they do not know and take absent ones for
// empty.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "network/json.h"
#include "network/network.h"

namespace berth::network {
namespace {

std::vector<std::string> Strings(const Json& object, const char* key) {
  std::vector<std::string> strings;
  if (const Json* list = FindArray(object, key)) {
    for (const auto& entry : *list) {
      if (entry.is_string()) strings.push_back(entry.get<std::string>());
    }
  }
  return strings;
}

std::int32_t Port(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number_integer()) return 0;
  const auto value = at->get<std::int64_t>();
  return value >= 0 && value <= 65535 ? static_cast<std::int32_t>(value) : 0;
}

Json PodToJson(const PodNetwork& pod) {
  Json json = {{"id", pod.pod_id},    {"name", pod.pod_name},    {"namespace", pod.pod_namespace},
               {"uid", pod.pod_uid},  {"netns", pod.netns_path}, {"hostname", pod.hostname},
               {"cgroup", pod.cgroup}};
  Json mappings = Json::array();
  for (const auto& mapping : pod.port_mappings) {
    mappings.push_back(Json{{"protocol", mapping.protocol},
                            {"containerPort", mapping.container_port},
                            {"hostPort", mapping.host_port},
                            {"hostIp", mapping.host_ip}});
  }
  json["portMappings"] = std::move(mappings);
  Json annotations = Json::object();
  for (const auto& [key, value] : pod.annotations) annotations[key] = value;
  json["annotations"] = std::move(annotations);
  json["dns"] =
      Json{{"servers", pod.dns_servers}, {"searches", pod.dns_searches}, {"options", pod.dns_options}};
  return json;
}

PodNetwork PodFromJson(const Json& json) {
  PodNetwork pod;
  pod.pod_id = FindString(json, "id");
  pod.pod_name = FindString(json, "name");
  pod.pod_namespace = FindString(json, "namespace");
  pod.pod_uid = FindString(json, "uid");
  pod.netns_path = FindString(json, "netns");
  pod.hostname = FindString(json, "hostname");
  pod.cgroup = FindString(json, "cgroup");
  if (const Json* mappings = FindArray(json, "portMappings")) {
    for (const auto& mapping : *mappings) {
      if (!mapping.is_object()) continue;
      pod.port_mappings.push_back({FindString(mapping, "protocol"), Port(mapping, "containerPort"),
                                   Port(mapping, "hostPort"), FindString(mapping, "hostIp")});
    }
  }
  if (const Json* annotations = FindObject(json, "annotations")) {
    for (const auto& [key, value] : annotations->items()) {
      if (value.is_string()) pod.annotations[key] = value.get<std::string>();
    }
  }
  if (const Json* dns = FindObject(json, "dns")) {
    pod.dns_servers = Strings(*dns, "servers");
    pod.dns_searches = Strings(*dns, "searches");
    pod.dns_options = Strings(*dns, "options");
  }
  return pod;
}

}  // namespace

std::string ToJson(const Attachment& attachment) {
  // The two JSON texts stay texts: a plugin must get back exactly what was stored.
  return ToText(Json{{"pod", PodToJson(attachment.pod)},
                     {"conflist", attachment.conflist},
                     {"result", attachment.result},
                     {"ips", attachment.ips}});
}

absl::StatusOr<Attachment> AttachmentFromJson(const std::string& text) {
  const auto json = ParseJsonObject(text);
  if (!json.ok())
    return base::WithCode(absl::StatusCode::kDataLoss, json.status(), "network attachment record");
  const Json* pod = FindObject(*json, "pod");
  if (pod == nullptr || FindString(*pod, "id").empty())
    return absl::DataLossError("network attachment record names no pod");
  Attachment attachment;
  attachment.pod = PodFromJson(*pod);
  attachment.conflist = FindString(*json, "conflist");
  attachment.result = FindString(*json, "result");
  attachment.ips = Strings(*json, "ips");
  return attachment;
}

}  // namespace berth::network
