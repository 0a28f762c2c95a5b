// SPDX-License-Identifier: Apache-2.0
// Compares the records with the host: what of ours no record owns, and which records nothing on the host
// backs (design.md, rule 11). Works beside a serving berthd, whose live operations are not garbage, and
// without one. Only what is provably ours is named at all: it lies in our directories under an id, is a
// monitor of our state directory, or a cgroup with our mark. docs/fsck.md is the operator's page.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/process.h"
#include "cgroupfs/cgroup.h"
#include "store/store.h"

namespace berth::runtime::fsck {

// What a serving berthd can do that the host alone cannot; all empty without one. May block.
struct Hands {
  std::function<absl::Status(const std::string& pod_id)> stop_pod;
  std::function<absl::Status(const std::string& container_id)> stop_container;
  std::function<absl::Status(const std::string& container_id)> remove_container;
  std::function<absl::Status(const std::string& pod_id)> detach_network;
};

// Where to look. Nothing is owned; all of it outlives the call.
struct Ground {
  std::string root, state, cgroup_root;
  store::Store* store = nullptr;
  const cgroupfs::Host* cgroups = nullptr;
  Hands hands;
};

enum class Kind {
  kProcess,
  kCgroup,
  kMount,
  kDirectory,
  kLayer,
  kImage,
  kAttachment,
  kRecord,
  kDatabase,
  kQuarantine
};
const char* Name(Kind kind);  // "process", "cgroup", …

// The one step that mends a finding. kNone: nothing can be done here and now; `remedy` says what can.
enum class Mend {
  kNone,
  kKillProcess,
  kRemoveCgroup,
  kUnmount,
  kRemoveTree,
  kDetachNetwork,
  kStopPod,
  kStopContainer,
  kRemoveContainer
};

struct Finding {
  Kind kind = Kind::kRecord;
  std::string subject;  // what it is: a path, "monitor 123", "pod <id>"
  std::string found;    // a sentence: what is wrong with it
  std::string remedy;   // what --repair does, or what a person can do
  bool note = false;    // worth knowing, nothing wrong: does not count
  Mend mend = Mend::kNone;
  base::ProcessIdentity process;  // of kKillProcess
  std::string id;                 // of the pod or container that `mend` is for
  bool mended = false;
  std::string failure;  // why it could not be mended
};

struct Report {
  std::vector<Finding> findings;
  std::size_t pods = 0, containers = 0, images = 0, layers = 0;  // records compared
  // Findings that count and were not mended.
  std::size_t Left() const;
};

// Looks several times and reports only what every look saw: what a live operation is just making or taking
// away is seen by one. With `repair`, mends what was found and says so in each finding. An error: it could
// not look.
absl::StatusOr<Report> Check(const Ground& ground, bool repair);

}  // namespace berth::runtime::fsck
