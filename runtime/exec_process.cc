// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec_process.h"

#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/status.h"
#include "runtime/bundle.h"
#include "runtime/monitors.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kKillNs = 10 * base::kSecondNs;

}  // namespace

ExecProcess::ExecProcess(std::shared_ptr<Container> container)
    : container_(std::move(container)), id_(base::NewId()) {}

absl::StatusOr<base::UniqueFd> ExecProcess::Begin(const std::vector<std::string>& command, bool tty,
                                                  bool has_stdin, const std::vector<int>& fds,
                                                  const Caller& caller) {
  if (command.empty()) return absl::InvalidArgumentError("cmd is empty");
  if (container_->state() != ContainerState::kRunning)
    return absl::FailedPreconditionError(absl::StrCat("container '", container_->id(), "' is not running"));
  auto begun = TryBegin(command, tty, has_stdin, fds, caller);
  if (begun.ok()) return begun;
  if (container_->state() != ContainerState::kRunning)
    return absl::FailedPreconditionError(
        absl::StrCat("container '", container_->id(), "' is not running any more"));
  if (begun.status().code() == absl::StatusCode::kAborted)
    return absl::UnknownError(absl::StrCat("exec: ", begun.status().message()));
  return begun;
}

absl::StatusOr<base::UniqueFd> ExecProcess::TryBegin(const std::vector<std::string>& command, bool tty,
                                                     bool has_stdin, const std::vector<int>& fds,
                                                     const Caller& caller) {
  BERTH_ASSIGN_OR_RETURN(const nlohmann::json spec, ReadBundle(*container_));
  const nlohmann::json process = oci::BuildExecProcess(spec, command, tty);
  std::string text;
  try {
    text = process.dump();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError("the command is not UTF-8: the OCI runtime takes JSON only");
  }
  const std::string file = absl::StrCat(container_->places().state, "/exec-", base::ShortId(id_), ".json");
  BERTH_RETURN_IF_ERROR(base::ToStatus(base::WriteFile(file, text)));
  const absl::Cleanup erase = [&] { ::unlink(file.c_str()); };
  const auto& pod = container_->pod();
  BERTH_ASSIGN_OR_RETURN(monitor_, pod->Monitor(caller.deadline));
  pod->ExpectExec(id_);
  if (pod->ExecEventFd(id_) < 0) {
    pod->ForgetExec(id_);
    return absl::ResourceExhaustedError("no descriptor is left to wait for a command with");
  }
  BERTH_FAULT_POINT("runtime.exec");
  const monitor::ExecRequest request{container_->id(), id_, file, tty, has_stdin};
  auto begun = monitor_->Exec(request, fds, caller.deadline, caller.cancellation);
  if (begun.ok()) return begun;
  pod->ForgetExec(id_);
  if (absl::IsDeadlineExceeded(begun.status()) || absl::IsCancelled(begun.status()))
    (void)monitor_->ExecKill(id_, base::Deadline::After(kKillNs));
  return FromMonitor(begun.status());
}

absl::StatusOr<std::int32_t> ExecProcess::Take() {
  auto end = container_->pod()->WaitExec(id_, base::Deadline::After(kKillNs));
  if (!end.ok()) return end.status();
  return end->exit_code;
}

absl::Status ExecProcess::Kill() {
  BERTH_FAULT_POINT("runtime.exec_kill");
  const auto killed = monitor_->ExecKill(id_, base::Deadline::After(kKillNs));
  auto end = container_->pod()->WaitExec(id_, base::Deadline::After(kKillNs));
  if (!end.ok()) container_->pod()->ForgetExec(id_);
  if (!killed.ok() && !absl::IsNotFound(killed)) return killed;
  return absl::IsUnavailable(end.status()) ? absl::OkStatus() : end.status();
}

}  // namespace berth::runtime
