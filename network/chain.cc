// SPDX-License-Identifier: Apache-2.0
#include "network/chain.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/status.h"
#include "network/capabilities.h"
#include "network/plugin.h"
#include "network/result.h"

namespace berth::network {
namespace {

constexpr int kUnknownContainer = 3;

// "CNI ADD by plugin 'bridge' of network 'pods'"
std::string Stage(const char* command, const Conflist& list, std::size_t index) {
  return absl::StrCat("CNI ", command, " by plugin '", FindString(list.plugins[index], "type"),
                      "' of network '", list.name, "'");
}

absl::Status CallForNode(const char* command, const Conflist& list, std::size_t index,
                         const std::vector<std::string>& bin_dirs, const Json& attachments,
                         base::Deadline deadline) {
  const auto path = FindPlugin(bin_dirs, FindString(list.plugins[index], "type"));
  if (!path.ok())
    return base::Annotate(path.status(), absl::StrCat("CNI ", command, " of network '", list.name, "'"));
  const auto out = RunPlugin(*path, PluginEnv(environ, command, bin_dirs),
                             NodeRequestConfig(list, index, attachments), deadline);
  return out.ok() ? absl::OkStatus() : base::Annotate(out.status(), Stage(command, list, index));
}

}  // namespace

absl::StatusOr<Chain> Chain::For(const Attachment& attachment, std::vector<std::string> bin_dirs) {
  Chain chain;
  auto list = ParseConflist(attachment.conflist);
  if (!list.ok()) {
    return base::WithCode(absl::StatusCode::kDataLoss, list.status(),
                          absl::StrCat("stored network configuration of pod '", attachment.pod.pod_id, "'"));
  }
  chain.list_ = std::move(*list);
  BERTH_ASSIGN_OR_RETURN(chain.capability_args_, CapabilityArgs(attachment.pod));
  BERTH_ASSIGN_OR_RETURN(chain.cni_args_, CniArgs(attachment.pod));
  chain.bin_dirs_ = std::move(bin_dirs);
  chain.pod_id_ = attachment.pod.pod_id;
  chain.netns_path_ = attachment.pod.netns_path;
  return chain;
}

absl::StatusOr<std::string> Chain::Call(const char* command, std::size_t index, const Json& prev_result,
                                        const std::string& netns, base::Deadline deadline) const {
  const auto path = FindPlugin(bin_dirs_, FindString(list_.plugins[index], "type"));
  if (!path.ok())
    return base::Annotate(path.status(), absl::StrCat("CNI ", command, " of network '", list_.name, "'"));
  auto env = PluginEnv(environ, command, bin_dirs_);
  AddAttachmentEnv(env, pod_id_, netns, cni_args_);
  auto out =
      RunPlugin(*path, std::move(env), RequestConfig(list_, index, capability_args_, prev_result), deadline);
  if (!out.ok()) return base::Annotate(out.status(), Stage(command, list_, index));
  return out;
}

absl::Status Chain::Add(base::Deadline deadline, Added& added) const {
  added = Added();
  if (!IsNetns(netns_path_))
    return absl::FailedPreconditionError(absl::StrCat("no network namespace at '", netns_path_, "'"));
  for (std::size_t i = 0; i < list_.plugins.size(); ++i) {
    BERTH_FAULT_POINT("network.add");
    if (BERTH_FAULT_FAILS("network.add.plugin"))
      return absl::InternalError(absl::StrCat(Stage("ADD", list_, i), ": fault injected"));
    const auto found = FindPlugin(bin_dirs_, FindString(list_.plugins[i], "type"));
    if (!found.ok())
      return base::Annotate(found.status(), absl::StrCat("CNI ADD of network '", list_.name, "'"));
    added.started = i + 1;
    BERTH_ASSIGN_OR_RETURN(const std::string out, Call("ADD", i, added.result, netns_path_, deadline));
    BERTH_FAULT_POINT("network.added");
    if (const auto error = ParsePluginError(out)) {  // said with exit code 0
      return absl::InternalError(absl::StrCat(Stage("ADD", list_, i), ": ", error->words));
    }
    auto parsed = ParseResult(out, list_.version);
    if (!parsed.ok()) {
      return absl::InternalError(absl::StrCat(
          Stage("ADD", list_, i), ": printed no usable result: ", std::string(parsed.status().message())));
    }
    added.result = std::move(*parsed);
  }
  if (PodIps(added.result, kInterface).empty()) {
    return absl::InternalError(absl::StrCat("network '", list_.name, "' gave the pod no IP address"));
  }
  return absl::OkStatus();
}

absl::Status Chain::Del(base::Deadline deadline, const Json& result, std::size_t count) const {
  // A path that is no longer a namespace (gone, or a pin's empty file) makes plugins fail for ever; none at
  // all is what the specification lets them expect.
  const std::string netns = IsNetns(netns_path_) ? netns_path_ : "";
  const Json prev_result = list_.version >= kCheckSince ? result : Json(nullptr);
  for (std::size_t i = std::min(count, list_.plugins.size()); i-- > 0;) {
    BERTH_FAULT_POINT("network.del");
    if (BERTH_FAULT_FAILS("network.del.plugin"))
      return absl::InternalError(absl::StrCat(Stage("DEL", list_, i), ": fault injected"));
    const auto out = Call("DEL", i, prev_result, netns, deadline);
    BERTH_FAULT_POINT("network.deleted");
    if (!out.ok() && PluginCodeOf(out.status()) != kUnknownContainer) return out.status();
  }
  return absl::OkStatus();
}

absl::Status Chain::Check(base::Deadline deadline, const Json& result) const {
  if (list_.version < kCheckSince || list_.disable_check) return absl::OkStatus();
  if (!IsNetns(netns_path_))
    return absl::FailedPreconditionError(absl::StrCat("no network namespace at '", netns_path_, "'"));
  for (std::size_t i = 0; i < list_.plugins.size(); ++i) {
    if (const auto out = Call("CHECK", i, result, netns_path_, deadline); !out.ok()) return out.status();
  }
  return absl::OkStatus();
}

absl::Status AskStatus(const Conflist& list, const std::vector<std::string>& bin_dirs,
                       base::Deadline deadline) {
  if (list.version < kStatusSince) return absl::OkStatus();
  for (std::size_t i = 0; i < list.plugins.size(); ++i) {
    BERTH_RETURN_IF_ERROR(CallForNode("STATUS", list, i, bin_dirs, nullptr, deadline));
  }
  return absl::OkStatus();
}

absl::Status CollectGarbage(const Conflist& list, const std::vector<std::string>& bin_dirs,
                            const std::vector<std::string>& live_pod_ids, base::Deadline deadline) {
  if (list.version < kStatusSince || list.disable_gc) return absl::OkStatus();
  Json attachments = Json::array();
  for (const auto& id : live_pod_ids)
    attachments.push_back(Json{{"containerID", id}, {"ifname", kInterface}});
  std::string failures;
  for (std::size_t i = 0; i < list.plugins.size(); ++i) {
    BERTH_FAULT_POINT("network.gc");
    const absl::Status status = CallForNode("GC", list, i, bin_dirs, attachments, deadline);
    if (!status.ok()) absl::StrAppend(&failures, failures.empty() ? "" : "; ", std::string(status.message()));
  }
  return failures.empty() ? absl::OkStatus() : absl::InternalError(failures);
}

}  // namespace berth::network
