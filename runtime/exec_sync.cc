// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/exec_process.h"
#include "runtime/managers.h"
#include "runtime/pipe.h"

namespace berth::runtime {
namespace {

// The client refuses messages above 16 MiB, all fields together.
constexpr std::size_t kOutputCap = (16 << 20) - (64 << 10);
constexpr std::int64_t kBeginNs = 60 * base::kSecondNs;

struct Stream {
  base::UniqueFd read;
  base::UniqueFd write;
  std::string* into = nullptr;
};

absl::StatusOr<Stream> MakeStream(std::string* into) {
  BERTH_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  // Only our end: the program gets an ordinary blocking pipe.
  if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return base::SyscallError(errno, "fcntl");
  return Stream{std::move(pipe.read), std::move(pipe.write), into};
}

// Takes what is there; what is above the cap is read and dropped, so that the program never stalls. At most
// some MiB, more than a pipe holds: who writes as fast as we read must not keep us from looking at the clock.
void Drain(Stream& stream, std::size_t* room) {
  constexpr int kReads = 64;
  char buffer[65536];
  for (int i = 0; i < kReads && stream.read.valid(); ++i) {
    const ssize_t got = ::read(stream.read.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      stream.read.Reset();
      return;
    }
    const std::size_t kept = std::min(*room, static_cast<std::size_t>(got));
    stream.into->append(buffer, kept);
    *room -= kept;
  }
}

class SyncExec {
 public:
  explicit SyncExec(std::shared_ptr<Container> container) : process_(std::move(container)) {}

  absl::Status Begin(const std::vector<std::string>& command, base::Deadline deadline, const Caller& caller) {
    BERTH_ASSIGN_OR_RETURN(out_, MakeStream(&result_.out));
    BERTH_ASSIGN_OR_RETURN(err_, MakeStream(&result_.err));
    const auto begun = process_.Begin(command, /*tty=*/false, /*has_stdin=*/false,
                                      {out_.write.get(), err_.write.get()}, {caller.cancellation, deadline});
    out_.write.Reset();
    err_.write.Reset();
    return begun.status();
  }

  // True when it ended; false when the deadline passed or the caller left (`wake` readable).
  bool WaitEnd(base::Deadline deadline, int wake) {
    const int ended = process_.ended_fd();
    for (;;) {
      pollfd fds[] = {
          {ended, POLLIN, 0}, {out_.read.get(), POLLIN, 0}, {err_.read.get(), POLLIN, 0}, {wake, POLLIN, 0}};
      const int ready = ::poll(fds, 4, deadline.PollMs());
      if (ready < 0 && errno == EINTR) continue;
      if (fds[1].revents != 0) Drain(out_, &room_);
      if (fds[2].revents != 0) Drain(err_, &room_);
      if (fds[0].revents != 0) {
        // What it wrote before it ended is in the pipes already; a grandchild that keeps them open is not
        // waited for.
        Drain(out_, &room_);
        Drain(err_, &room_);
        return true;
      }
      if (fds[3].revents != 0 || deadline.Passed()) return false;
    }
  }

  absl::StatusOr<ExecResult> Take() {
    BERTH_ASSIGN_OR_RETURN(result_.exit_code, process_.Take());
    return std::move(result_);
  }
  absl::Status Kill() { return process_.Kill(); }

 private:
  ExecProcess process_;
  Stream out_, err_;
  std::size_t room_ = kOutputCap;
  ExecResult result_;
};

}  // namespace

absl::StatusOr<ExecResult> ExecSync(Core&, Container& container, const std::vector<std::string>& command,
                                    std::int64_t timeout_s, const Caller& caller) {
  if (timeout_s < 0) return absl::InvalidArgumentError("timeout is negative");
  // Readable when the caller has gone; shared with a callback that may come late.
  const auto wake = std::make_shared<base::UniqueFd>(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  int handle = 0;
  if (caller.cancellation != nullptr)
    handle = caller.cancellation->Subscribe([wake] { (void)::eventfd_write(wake->get(), 1); });
  const absl::Cleanup unsubscribe = [&] {
    if (handle != 0) caller.cancellation->Unsubscribe(handle);
  };

  const base::Deadline deadline =
      timeout_s == 0 ? base::Deadline::Never() : base::Deadline::After(timeout_s * base::kSecondNs);
  SyncExec exec(container.shared_from_this());
  // A timeout of the request counts from here, also for what the OCI runtime needs to begin.
  const base::Deadline begin_by =
      std::min(deadline, base::Deadline::After(kBeginNs),
               [](const auto& a, const auto& b) { return a.at_ns() < b.at_ns(); });
  if (auto begun = exec.Begin(command, begin_by, caller); !begun.ok()) {
    if (deadline.Passed() && absl::IsDeadlineExceeded(begun)) {
      return absl::DeadlineExceededError(absl::StrCat("command '", command.front(), "' was not begun within ",
                                                      timeout_s, " s: ", begun.message()));
    }
    return begun;
  }
  if (exec.WaitEnd(deadline, wake->get())) return exec.Take();
  const bool left = !deadline.Passed();
  const absl::Status killed = exec.Kill();
  if (!killed.ok())
    base::LogWarning("an exec could not be ended", {{"container", container.id()}, {"error", killed}});
  if (left) return absl::CancelledError("the caller left; the command was ended");
  return absl::DeadlineExceededError(
      absl::StrCat("command '", command.front(), "' timed out after ", timeout_s, " s and was ended"));
}

}  // namespace berth::runtime
