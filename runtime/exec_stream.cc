// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <atomic>

#include "base/log.h"
#include "base/status.h"
#include "runtime/exec_process.h"
#include "runtime/managers.h"
#include "runtime/pipe.h"

namespace berth::runtime {
namespace {

absl::StatusOr<base::UniqueFd> Duplicate(int fd) {
  base::UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return base::SyscallError(errno, "duplicate a descriptor");
  return copy;
}

class ExecStdio final : public Stdio {
 public:
  explicit ExecStdio(std::shared_ptr<Container> container)
      : id_(container->id()), process_(std::move(container)) {}

  absl::Status Begin(const StdioRequest& request, const Caller& caller) {
    return request.tty ? BeginWithTerminal(request, caller) : BeginWithPipes(request, caller);
  }

  absl::StatusOr<std::int32_t> ExitCode() override {
    auto code = process_.Take();
    over_ = !absl::IsDeadlineExceeded(code.status());
    return code;
  }
  void InputEnds() override {}  // closing `in` says it
  void Abandon() override {
    if (over_.exchange(true)) return;
    if (const auto killed = process_.Kill(); !killed.ok())
      base::LogWarning("an exec could not be ended", {{"container", id_}, {"error", killed}});
  }

 private:
  absl::Status BeginWithTerminal(const StdioRequest& request, const Caller& caller) {
    BERTH_ASSIGN_OR_RETURN(out, process_.Begin(request.command, /*tty=*/true, request.in, {}, caller));
    auto finished = Finish();
    if (finished.ok()) {
      auto copied = Duplicate(out.get());
      finished = copied.status();
      if (copied.ok()) terminal = std::move(*copied);
    }
    if (finished.ok() && request.in) {
      auto copied = Duplicate(out.get());
      finished = copied.status();
      if (copied.ok()) in = std::move(*copied);
    }
    if (!finished.ok()) Abandon();
    return finished;
  }

  absl::Status BeginWithPipes(const StdioRequest& request, const Caller& caller) {
    // Outputs that nobody wants go nowhere.
    base::UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (!nowhere) return base::SyscallError(errno, "open '/dev/null'");
    Pipe ins, outs, errs;
    std::vector<int> fds;
    if (request.in) {
      BERTH_ASSIGN_OR_RETURN(ins, MakePipe());
      fds.push_back(ins.read.get());
    }
    if (request.out) {
      BERTH_ASSIGN_OR_RETURN(outs, MakePipe());
    }
    if (request.err) {
      BERTH_ASSIGN_OR_RETURN(errs, MakePipe());
    }
    fds.push_back(request.out ? outs.write.get() : nowhere.get());
    fds.push_back(request.err ? errs.write.get() : nowhere.get());
    BERTH_RETURN_IF_ERROR(process_.Begin(request.command, /*tty=*/false, request.in, fds, caller).status());
    in = std::move(ins.write);
    out = std::move(outs.read);
    err = std::move(errs.read);
    auto finished = Finish();
    if (!finished.ok()) Abandon();
    return finished;
  }

  absl::Status Finish() {
    BERTH_ASSIGN_OR_RETURN(ended, Duplicate(process_.ended_fd()));
    return absl::OkStatus();
  }

  const std::string id_;
  ExecProcess process_;
  std::atomic<bool> over_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stdio>> Exec(Container& container, const StdioRequest& request,
                                            const Caller& caller) {
  auto exec = std::make_unique<ExecStdio>(container.shared_from_this());
  BERTH_RETURN_IF_ERROR(exec->Begin(request, caller));
  return exec;
}

}  // namespace berth::runtime
