// SPDX-License-Identifier: Apache-2.0
// What a pod asks of its network, in the words of CNI's conventions, and the request that one plugin gets.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "network/conflist.h"
#include "network/json.h"
#include "network/network.h"

namespace berth::network {

inline constexpr char kInterface[] = "eth0";

// The capability arguments of a pod by name: portMappings, bandwidth, dns, cgroupPath,
// io.kubernetes.cri.pod-annotations; those with nothing to say are left out. INVALID_ARGUMENT names what is
// wrong: a port out of range, an unknown protocol, one host port asked for twice, a bandwidth annotation that
// is no quantity between 1k and 1P bits per second.
absl::StatusOr<Json> CapabilityArgs(const PodNetwork& pod);

// CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=…;…". INVALID_ARGUMENT when a name holds ';', '=' or a control
// character (it could smuggle an argument), or when the pod's id is none that CNI allows.
absl::StatusOr<std::string> CniArgs(const PodNetwork& pod);

// The configuration for one call of plugin `index`: its own keys, cniVersion and name, `capabilities`
// replaced by the runtimeConfig of those it declares, and prevResult (null = none).
std::string RequestConfig(const Conflist& list, std::size_t index, const Json& capability_args,
                          const Json& prev_result);
// The same for STATUS and GC, which belong to no pod. `attachments` (null = not a GC): [{containerID,
// ifname}].
std::string NodeRequestConfig(const Conflist& list, std::size_t index, const Json& attachments);

// The environment of a call: ours without CNI_*, BERTH_* and what is meant for one service process
// (sd_notify), then CNI's.
std::vector<std::string> PluginEnv(const char* const* own_env, const std::string& command,
                                   const std::vector<std::string>& bin_dirs);
void AddAttachmentEnv(std::vector<std::string>& env, const std::string& pod_id, const std::string& netns,
                      const std::string& args);

}  // namespace berth::network
