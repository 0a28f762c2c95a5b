// SPDX-License-Identifier: Apache-2.0
// The steps of a pod's and a container's life, one file each. All are idempotent and safe against a crash at
// any of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/container.h"
#include "runtime/core.h"
#include "runtime/pod.h"

namespace berth::runtime {

// pod_run.cc
absl::StatusOr<std::string> RunPod(Core& core, const PodConfig& config, const std::string& handler,
                                   const Caller& caller);

// pod_stop.cc. StopPod: NOTREADY, containers ended, network given back, monitor gone; the record stays.
absl::Status StopPod(Core& core, Pod& pod);
absl::Status RemovePod(Core& core, Pod& pod);
// Undoes what a failed or unclaimed RunPod made; afterwards the same metadata can be used again. What cannot
// be undone now (CNI DEL) keeps its own record and is tried again.
void DiscardPod(Core& core, Pod& pod);

// pod_network.cc
absl::Status AttachNetwork(Core& core, Pod& pod, Progress& progress);
// CNI DEL with the stored record; OK when there is none. The record goes only after DEL succeeded.
absl::Status DetachNetwork(Core& core, const std::string& pod_id);
// CNI GC with what is on record, where the plugins speak it: addresses of pods that nobody remembers come
// back. Only while no pod is being made, and not after the database was lost: then the record of what lives
// is not whole.
void CollectNetworkGarbage(Core& core);
// Every stored attachment whose pod is no more: DEL now, and again with growing gaps until it succeeds.
void RetryOrphanedNetworks(Core& core, std::int64_t gap_ns);
// The same after a gap; nothing if it is going to happen already.
void RetryOrphanedNetworksLater(Core& core, std::int64_t gap_ns);

// container_create.cc
absl::StatusOr<std::string> CreateContainer(Core& core, const std::shared_ptr<Pod>& pod,
                                            const ContainerConfig& config, const Caller& caller);
// Files, rootfs and record of a container whose processes are gone.
absl::Status DiscardContainer(Core& core, Container& container);

// container_start.cc
absl::Status StartContainer(Core& core, Container& container);

// container_stop.cc. `cause` is told in the message: "stop", "remove", "pod stop".
absl::Status StopContainer(Core& core, Container& container, std::int64_t grace_s, const std::string& cause);
absl::Status RemoveContainer(Core& core, Container& container);

// container_update.cc
absl::Status UpdateContainerResources(Core& core, Container& container, const cgroupfs::Resources& resources);
absl::Status ReopenLog(Core& core, Container& container);

// exec_sync.cc
absl::StatusOr<ExecResult> ExecSync(Core& core, Container& container, const std::vector<std::string>& command,
                                    std::int64_t timeout_s, const Caller& caller);

// recovery.cc. Reads the records and brings each pod to what the host says, in parallel.
absl::Status Recover(Core& core);
// A start that nobody waits for any more: looks each second what became of it, until that is known.
void FollowStart(Core& core, const std::shared_ptr<Container>& container);

}  // namespace berth::runtime
