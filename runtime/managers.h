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
#include "runtime/stdio.h"

namespace berth::runtime {

// pod_run.cc
absl::StatusOr<std::string> RunPod(Core& core, const PodConfig& config, const std::string& handler,
                                   const Caller& caller);

// pod_stop.cc. StopPod: NOTREADY, containers ended, network given back, monitor gone; the record stays.
// Both are joined by whoever asks the same, and go on when their caller left.
absl::Status StopPod(Core& core, const std::shared_ptr<Pod>& pod, const Caller& caller);
absl::Status RemovePod(Core& core, const std::shared_ptr<Pod>& pod, const Caller& caller);
// Undoes what a failed or unclaimed RunPod made; afterwards the same metadata can be used again. What cannot
// be undone now (CNI DEL) keeps its own record and is tried again.
// What else is left is shown, NOTREADY, and removed later.
void DiscardPod(Core& core, Pod& pod);
// What an earlier berthd began, a reboot makes necessary, or could not be undone at once: now, and again with
// growing gaps until it succeeds. Nobody waits for it.
enum class Finish { kStop, kRemove };
void FinishPod(Core& core, const std::shared_ptr<Pod>& pod, Finish how, std::int64_t gap_ns);
void FinishPodLater(Core& core, const std::shared_ptr<Pod>& pod, Finish how, std::int64_t gap_ns);

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

// container_start.cc. Joined; goes on when its caller left.
absl::Status StartContainer(Core& core, const std::shared_ptr<Container>& container, const Caller& caller);

// container_stop.cc. `cause` is told in the message: "stop", "remove", "pod stop". Joined by later stops, of
// whose graces the earliest end counts; goes on when its caller left.
absl::Status StopContainer(Core& core, const std::shared_ptr<Container>& container, std::int64_t grace_s,
                           const std::string& cause, const Caller& caller);
absl::Status RemoveContainer(Core& core, const std::shared_ptr<Container>& container, const Caller& caller);
// The work of both, for those that are at work already. The first kills at once.
absl::Status KillContainerNow(Core& core, Container& container, const std::string& cause, Progress& progress);
absl::Status RemoveContainerNow(Core& core, Container& container, Progress& progress);

// container_update.cc
absl::Status UpdateContainerResources(Core& core, Container& container, const cgroupfs::Resources& change);
absl::Status ReopenLog(Core& core, Container& container);

// exec_sync.cc
absl::StatusOr<ExecResult> ExecSync(Core& core, Container& container, const std::vector<std::string>& command,
                                    std::int64_t timeout_s, const Caller& caller);

// attach.cc
absl::StatusOr<std::unique_ptr<Stdio>> Attach(Container& container, const StdioRequest& request);

// pod_socket.cc
absl::StatusOr<base::UniqueFd> PodSocket(const PodStatus& pod, int family);

// exec_stream.cc
absl::StatusOr<std::unique_ptr<Stdio>> Exec(Container& container, const StdioRequest& request,
                                            const Caller& caller);

// recovery_load.cc. Reads the records and what lies on the disk beside them, and shows what they say: nothing
// here waits for a process, a plugin or a monitor. Then recovery.cc brings each pod to what the host says, in
// the background, many at once.
absl::Status LoadRecords(Core& core);
void StartRecovery(Core& core);
// Returns when the pod is recovered; DEADLINE_EXCEEDED with the stage when the caller leaves first.
absl::Status AwaitRecovery(Core& core, const std::string& pod_id, const Caller& caller);
// The same for whichever pod holds this name: it may be one that is half made, and goes.
absl::Status AwaitRecoveryOfName(Core& core, const PodMetadata& metadata, const Caller& caller);
// The same for CNI's garbage collection: an attachment that is made meanwhile would look like garbage.
absl::Status AwaitNetworkCollection(Core& core, const Caller& caller);
// A start that nobody waits for any more: looks each second what became of it, until that is known.
void FollowStart(Core& core, const std::shared_ptr<Container>& container);

}  // namespace berth::runtime
