// SPDX-License-Identifier: Apache-2.0
// The beginning and the end of a command in a container, as ExecSync and the streaming exec share them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "runtime/container.h"
#include "runtime/pod.h"

namespace berth::runtime {

// Not thread safe. Does not end the command when dropped.
class ExecProcess {
 public:
  explicit ExecProcess(std::shared_ptr<Container> container);
  // `fds` as monitor::Client::Exec takes them; `caller` limits the beginning only. With `tty` the terminal's
  // master comes back. FAILED_PRECONDITION: the container does not run (any more); UNKNOWN: the command
  // cannot be executed, in the OCI runtime's words.
  absl::StatusOr<base::UniqueFd> Begin(const std::vector<std::string>& command, bool tty, bool has_stdin,
                                       const std::vector<int>& fds, const Caller& caller);
  // Becomes readable when it ended; borrowed until Take() or Kill().
  int ended_fd() const { return container_->pod()->ExecEventFd(id_); }
  // Its exit code, once ended.
  absl::StatusOr<std::int32_t> Take();
  // Ends all of it and waits until it is reaped.
  absl::Status Kill();

 private:
  absl::StatusOr<base::UniqueFd> TryBegin(const std::vector<std::string>& command, bool tty, bool has_stdin,
                                          const std::vector<int>& fds, const Caller& caller);

  const std::shared_ptr<Container> container_;
  const std::string id_;
  std::shared_ptr<monitor::Client> monitor_;
};

}  // namespace berth::runtime
