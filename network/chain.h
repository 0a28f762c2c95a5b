// SPDX-License-Identifier: Apache-2.0
// Running all plugins of one network for one command (specification 1.1.0, section 3). Blocking; thread safe;
// the caller sees to it that no two calls for the same pod overlap, and none overlaps GC.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "network/conflist.h"
#include "network/network.h"

namespace berth::network {

class Chain {
 public:
  // The attachment's configuration and arguments. INVALID_ARGUMENT: the pod's wishes are malformed;
  // DATA_LOSS: its stored configuration is unreadable.
  static absl::StatusOr<Chain> For(const Attachment& attachment, std::vector<std::string> bin_dirs);

  const Conflist& list() const { return list_; }

  // In order, each with the result of the one before. Stops at the first failure, undoing nothing.
  // The last result must hold an address of the pod. What was reached is told also after a failure.
  struct Added {
    Json result;              // the last one that there was; null if none
    std::size_t started = 0;  // plugins that were run, the failed one included
  };
  absl::Status Add(base::Deadline deadline, Added& added) const;
  // In reverse order, each with `result` (null: there was none). Stops at the first failure, as the
  // specification wants: what a later plugin did must not outlive the address it was done for. Error code 3,
  // "unknown container", is success. Only the first `count` plugins, when an ADD got no further.
  absl::Status Del(base::Deadline deadline, const Json& result, std::size_t count = SIZE_MAX) const;
  absl::Status Check(base::Deadline deadline, const Json& result) const;

 private:
  absl::StatusOr<std::string> Call(const char* command, std::size_t index, const Json& prev_result,
                                   const std::string& netns, base::Deadline deadline) const;

  Conflist list_;
  std::vector<std::string> bin_dirs_;
  std::string pod_id_;
  std::string netns_path_;
  Json capability_args_;
  std::string cni_args_;
};

// STATUS of every plugin, in order, to the first that is not ready. OK when the list's version has no STATUS.
absl::Status AskStatus(const Conflist& list, const std::vector<std::string>& bin_dirs,
                       base::Deadline deadline);
// GC of every plugin; goes on after failures and tells them all. OK when the list has none.
absl::Status CollectGarbage(const Conflist& list, const std::vector<std::string>& bin_dirs,
                            const std::vector<std::string>& live_pod_ids, base::Deadline deadline);

}  // namespace berth::network
