// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/rebuild.h"

namespace berth::runtime {
namespace {

// kubelet gives RunPodSandbox four minutes; a plugin that needs longer is broken.
constexpr std::int64_t kAddNs = 90 * base::kSecondNs;
constexpr std::int64_t kGcNs = 10 * base::kSecondNs;  // nobody is served meanwhile
constexpr std::int64_t kDelNs = 60 * base::kSecondNs;
constexpr std::int64_t kAgainNs = 5 * base::kSecondNs;
constexpr std::int64_t kLongestGapNs = 60 * base::kSecondNs;

const char* Name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "tcp";
}

network::PodNetwork Describe(const PodStatus& pod) {
  network::PodNetwork wanted;
  wanted.pod_id = pod.id;
  wanted.pod_name = pod.config.metadata.name;
  wanted.pod_namespace = pod.config.metadata.name_space;
  wanted.pod_uid = pod.config.metadata.uid;
  wanted.netns_path = pod.network_namespace;
  wanted.hostname = pod.config.hostname;
  for (const auto& mapping : pod.config.port_mappings) {
    if (mapping.host_port == 0) continue;
    wanted.port_mappings.push_back(
        {Name(mapping.protocol), mapping.container_port, mapping.host_port, mapping.host_ip});
  }
  wanted.annotations = pod.config.annotations;
  wanted.cgroup = pod.cgroup;
  if (pod.config.dns) {
    wanted.dns_servers = pod.config.dns->servers;
    wanted.dns_searches = pod.config.dns->searches;
    wanted.dns_options = pod.config.dns->options;
  }
  return wanted;
}

absl::Status Store(Core& core, const std::string& pod_id, const network::Attachment& attachment) {
  DescribeNetwork(core.options, pod_id, network::ToJson(attachment));
  // On disk before the plugins act: after a power loss the addresses must still be given back.
  return core.options.store->Write(
      [&](store::Transaction& transaction) {
        return transaction.PutNetwork({pod_id, network::ToJson(attachment)});
      },
      store::Durability::kFull);
}

}  // namespace

absl::Status AttachNetwork(Core& core, Pod& pod, Progress& progress) {
  const PodStatus status = pod.record().status;
  if (status.config.namespaces.network == NamespaceMode::kNode) return absl::OkStatus();
  progress.Enter("wait for CNI GC");
  BERTH_RETURN_IF_ERROR(AwaitNetworkCollection(core, Caller{}));
  BERTH_ASSIGN_OR_RETURN(network::Attachment attachment, core.options.network->Prepare(Describe(status)));
  BERTH_RETURN_IF_ERROR(Store(core, status.id, attachment));
  progress.Enter("network ADD");
  BERTH_FAULT_POINT("runtime.network_add");
  BERTH_RETURN_IF_ERROR(core.options.network->Add(attachment, base::Deadline::After(kAddNs)));
  BERTH_FAULT_POINT("runtime.network_added");
  BERTH_RETURN_IF_ERROR(Store(core, status.id, attachment));
  return pod.Change([&](PodRecord& record) { record.status.ips = attachment.ips; });
}

absl::Status DetachNetwork(Core& core, const std::string& pod_id) {
  BERTH_ASSIGN_OR_RETURN(const auto row, core.options.store->Network(pod_id));
  if (!row) return absl::OkStatus();
  BERTH_ASSIGN_OR_RETURN(const auto attachment, network::AttachmentFromJson(row->record));
  BERTH_FAULT_POINT("runtime.network_del");
  BERTH_RETURN_IF_ERROR(base::Annotate(core.options.network->Del(attachment, base::Deadline::After(kDelNs)),
                                       "give the pod's network back"));
  BERTH_FAULT_POINT("runtime.network_deleted");
  const auto erased = core.options.store->Write(
      [&](store::Transaction& transaction) { return transaction.DeleteNetwork(pod_id); });
  if (!erased.ok()) {
    // The network is given back; DEL once more, when there is room for the record's end, does no harm.
    base::LogError("could not delete the record of a pod's network; it is tried again",
                   {{"pod", pod_id}, {"error", erased}});
    RetryOrphanedNetworksLater(core, kAgainNs);
  }
  return absl::OkStatus();
}

void CollectNetworkGarbage(Core& core) {
  const auto rows = core.options.store->Networks();
  if (!rows.ok()) return;
  // Every attachment on record is alive to the plugins, also one whose DEL is still tried again.
  std::vector<network::Attachment> live;
  for (const auto& row : *rows) {
    auto attachment = network::AttachmentFromJson(row.record);
    if (!attachment.ok()) return;  // what cannot be read must not be taken for garbage
    live.push_back(std::move(*attachment));
  }
  BERTH_FAULT_POINT("runtime.network_gc");
  if (auto collected = core.options.network->Gc(live, base::Deadline::After(kGcNs)); !collected.ok()) {
    base::LogWarning("CNI GC failed", {{"error", collected}});
  }
}

void RetryOrphanedNetworks(Core& core, std::int64_t gap_ns) {
  const auto rows = core.options.store->Networks();
  if (!rows.ok()) return RetryOrphanedNetworksLater(core, gap_ns);
  std::set<std::string> orphans;
  for (const auto& row : *rows) {
    if (core.FindPod(row.pod_id) == nullptr) orphans.insert(row.pod_id);
  }
  if (orphans.empty()) return;
  // A pod whose record we cannot read runs all the same: only without a row it is gone.
  const auto pods = core.options.store->Pods();
  if (!pods.ok()) return RetryOrphanedNetworksLater(core, gap_ns);
  for (const auto& row : *pods) orphans.erase(row.id);
  bool left = false;
  for (const auto& row : *rows) {
    if (orphans.count(row.pod_id) == 0) continue;
    const auto detached = DetachNetwork(core, row.pod_id);
    if (detached.ok()) continue;
    left = true;
    base::LogWarning("CNI DEL failed for a pod that is gone; it is tried again",
                     {{"pod", row.pod_id}, {"error", detached}});
  }
  if (left) RetryOrphanedNetworksLater(core, gap_ns);
}

void RetryOrphanedNetworksLater(Core& core, std::int64_t gap_ns) {
  // One chain for all, however many pods fail: each look is at all of them.
  if (core.network_retry_due.exchange(true)) return;
  const std::int64_t next = std::min(gap_ns * 2, kLongestGapNs);
  core.timers.After(gap_ns, [&core, next] {
    core.executor.Submit([&core, next] {
      core.network_retry_due = false;
      RetryOrphanedNetworks(core, next);
    });
  });
}

}  // namespace berth::runtime
