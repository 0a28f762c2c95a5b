// SPDX-License-Identifier: Apache-2.0
// Records beside the database: each pod and container describes itself in a file in its directory on disk, so
// that a lost or torn database is made anew (design.md, rule 10). Written without fsync: they need to survive
// the loss of the database, not a power loss at the same moment; on ext4 the fsync of a container's exit
// record takes them along.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "network/network.h"
#include "runtime/records.h"
#include "runtime/runtime.h"
#include "store/store.h"

namespace berth::runtime {

// <root>/pods/<pod>/pod.json, …/network.json, …/containers/<container>/container.json. The directory must be
// there; failing is told in the log and nothing else.
void Describe(const Options& options, const PodRecord& record);
void Describe(const Options& options, const ContainerRecord& record);
void DescribeNetwork(const Options& options, const std::string& pod_id, const std::string& attachment);

struct RebuildOptions {
  std::string root, state;
  store::Store* store = nullptr;
};
// Before recovery, at every start. Takes from the files what is newer there (after a power loss). Moves
// records that cannot be read to <root>/quarantine, and makes those, and the ones of directories that have no
// record, anew from the files; a crash half-way is made up for by the next start. What a power loss left
// without record and file is recorded as being made, so that recovery undoes it. What has no readable file
// otherwise is named in the log, and `berth fsck` finds what is left of it on the host. (A directory outlives
// its record only when the database was lost: removal erases it first.)
absl::Status RebuildRecords(const RebuildOptions& options);

}  // namespace berth::runtime
