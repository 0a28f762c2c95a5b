// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/managers.h"
#include "runtime/monitors.h"
#include "runtime/pipe.h"

namespace berth::runtime {
namespace {

constexpr std::int64_t kQuickNs = 10 * base::kSecondNs;

class AttachStdio final : public Stdio {
 public:
  explicit AttachStdio(std::shared_ptr<Container> container)
      : container_(std::move(container)), id_(absl::StrCat("attach-", base::ShortId(base::NewId()))) {}

  absl::Status Begin(const StdioRequest& request) {
    if (container_->state() != ContainerState::kRunning)
      return absl::FailedPreconditionError(absl::StrCat("container '", container_->id(), "' is not running"));
    BERTH_ASSIGN_OR_RETURN(monitor_, container_->pod()->Monitor(base::Deadline::After(kQuickNs)));
    // One output at least: its end tells that the container has ended.
    const bool wants_out = request.out || !request.err;
    Pipe ins, outs, errs;
    std::vector<int> fds;
    if (request.in) {
      BERTH_ASSIGN_OR_RETURN(ins, MakePipe());
      fds.push_back(ins.read.get());
    }
    if (wants_out) {
      BERTH_ASSIGN_OR_RETURN(outs, MakePipe());
      fds.push_back(outs.write.get());
    }
    if (request.err) {
      BERTH_ASSIGN_OR_RETURN(errs, MakePipe());
      fds.push_back(errs.write.get());
    }
    auto master = monitor_->Attach({container_->id(), id_, request.in, wants_out, request.err}, fds,
                                   base::Deadline::After(kQuickNs));
    if (absl::IsUnimplemented(master.status()))
      return absl::UnimplementedError(
          "the pod was started by an older release of berth, whose monitor knows no attach; restart the pod");
    if (!master.ok()) return FromMonitor(master.status());
    in = std::move(ins.write);
    out = std::move(outs.read);
    err = std::move(errs.read);
    terminal = std::move(*master);
    has_input_ = request.in;
    return absl::OkStatus();
  }

  absl::StatusOr<std::int32_t> ExitCode() override { return 0; }
  void InputEnds() override {
    if (!has_input_.exchange(false)) return;
    const auto told = monitor_->AttachInputLast({container_->id(), id_}, base::Deadline::After(kQuickNs));
    // Its container has ended, or its monitor: then there is no input to be ended.
    if (!told.ok() && !absl::IsNotFound(told) && !absl::IsUnavailable(told))
      base::LogWarning("the end of an attached client's input could not be told",
                       {{"container", container_->id()}, {"error", told}});
  }
  void Abandon() override { InputEnds(); }

 private:
  const std::shared_ptr<Container> container_;
  const std::string id_;
  std::shared_ptr<monitor::Client> monitor_;
  std::atomic<bool> has_input_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stdio>> Attach(Container& container, const StdioRequest& request) {
  auto attached = std::make_unique<AttachStdio>(container.shared_from_this());
  BERTH_RETURN_IF_ERROR(attached->Begin(request));
  return attached;
}

}  // namespace berth::runtime
