// SPDX-License-Identifier: Apache-2.0
#include "monitor/client/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <chrono>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "monitor/json_read.h"

namespace berth::monitor {
namespace {

absl::StatusCode CodeOf(const std::string& code) {
  if (code == kErrUnsupported) return absl::StatusCode::kUnimplemented;
  if (code == kErrInvalid) return absl::StatusCode::kInvalidArgument;
  if (code == kErrNotFound) return absl::StatusCode::kNotFound;
  if (code == kErrNotRunning || code == kErrBusy) return absl::StatusCode::kFailedPrecondition;
  if (code == kErrStartFailed || code == kErrExecFailed) return absl::StatusCode::kAborted;
  return absl::StatusCode::kInternal;
}

absl::Status ErrorOf(const nlohmann::json& error) {
  std::string code;
  std::string stage;
  std::string message;
  Read(error, "code", code);
  Read(error, "stage", stage);
  Read(error, "message", message);
  // The words of a failed start are a sentence already.
  const bool staged = !stage.empty() && code == kErrFailed;
  return absl::Status(CodeOf(code), staged ? absl::StrCat(stage, ": ", message) : message);
}

constexpr char kEnded[] = "the connection to the pod's monitor has ended";

}  // namespace

absl::Status ClientConnection::Transmit(const std::string& text, const std::vector<int>& fds,
                                        base::Deadline deadline) {
  for (;;) {
    auto sent = SendPacket(fd_.get(), text, fds);
    if (sent) return absl::OkStatus();
    if (sent.error().err == EPIPE || sent.error().err == ECONNRESET) return absl::UnavailableError(kEnded);
    if (sent.error().err != EAGAIN && sent.error().err != ENOBUFS) return base::ToStatus(sent.error());
    pollfd fd{fd_.get(), POLLOUT, 0};
    ::poll(&fd, 1, deadline.PollMs());
    if (deadline.Passed()) return absl::DeadlineExceededError("the pod's monitor takes no request");
  }
}

absl::StatusOr<ClientConnection::Answer> ClientConnection::Call(
    const char* type, nlohmann::json request, const std::vector<int>& fds, base::Deadline deadline,
    const std::shared_ptr<base::Cancellation>& cancellation) {
  Waiter waiter;
  int handle = 0;
  if (cancellation != nullptr) {
    // It may come late: then it must find a connection.
    handle = cancellation->Subscribe([self = shared_from_this()] {
      const std::lock_guard wake(self->mutex_);
      self->answered_.notify_all();
    });
  }
  const absl::Cleanup unsubscribe = [&] {
    if (handle != 0) cancellation->Unsubscribe(handle);
  };
  const auto cancelled = [&] { return cancellation != nullptr && cancellation->cancelled(); };
  std::unique_lock lock(mutex_);
  if (ended_) return absl::UnavailableError(kEnded);
  const std::uint64_t seq = next_seq_++;
  waiters_[seq] = &waiter;
  lock.unlock();
  if (!request.is_object()) request = nlohmann::json::object();
  request["seq"] = seq;
  request["type"] = type;
  const absl::Status sent = Transmit(Dump(request), fds, deadline);
  lock.lock();
  if (sent.ok()) {
    const auto ready = [&] { return waiter.done || waiter.ended || cancelled(); };
    if (deadline.never()) {
      answered_.wait(lock, ready);
    } else {
      answered_.wait_until(
          lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline.at_ns())), ready);
    }
  }
  waiters_.erase(seq);
  if (!sent.ok()) return sent;
  if (waiter.done) {
    if (const auto error = waiter.fields.find("error"); error != waiter.fields.end()) {
      try {
        return ErrorOf(*error);
      } catch (const nlohmann::json::exception& wrong) {
        return absl::InternalError(absl::StrCat("malformed error from the pod's monitor: ", wrong.what()));
      }
    }
    return Answer{std::move(waiter.fields), std::move(waiter.packet.fds)};
  }
  if (waiter.ended) return absl::UnavailableError(kEnded);
  if (cancelled()) return absl::CancelledError("the caller left");
  return absl::DeadlineExceededError(absl::StrCat("the pod's monitor has not answered '", type, "' in time"));
}

bool ClientConnection::OnReadable() {
  for (;;) {
    auto packet = ReceivePacket(fd_.get());
    if (packet) {
      Deliver(std::move(*packet));
      continue;
    }
    if (packet.error().err == EAGAIN) return true;
    if (packet.error().err == EMSGSIZE) continue;
    EndAll();
    const std::lock_guard telling(telling_);
    if (!muted_ && events_.disconnected) events_.disconnected();
    return false;
  }
}

void ClientConnection::Deliver(Packet packet) {
  auto fields = ParseObject(packet.text);
  if (!fields) return;
  if (fields->contains("event")) return Tell(*fields);
  const auto seq = fields->find("seq");
  if (seq == fields->end() || !seq->is_number_unsigned()) return;
  const std::lock_guard lock(mutex_);
  const auto at = waiters_.find(seq->get<std::uint64_t>());
  if (at == waiters_.end()) return;  // it stopped waiting at its deadline
  at->second->packet = std::move(packet);
  at->second->fields = std::move(*fields);
  at->second->done = true;
  answered_.notify_all();
}

void ClientConnection::Tell(const nlohmann::json& event) {
  const std::lock_guard telling(telling_);
  if (muted_) return;
  try {
    const std::string name = event.at("event");
    std::string container;
    Read(event, "container_id", container);
    if (name == "exited" && events_.exited) {
      events_.exited(container);
    } else if (name == "exec_exited" && events_.exec_exited) {
      ExecExit exit;
      Read(event, "exec_id", exit.exec_id);
      Read(event, "exit_code", exit.exit_code);
      Read(event, "signaled", exit.signaled);
      Read(event, "signal", exit.signal);
      Read(event, "oom_killed", exit.oom_killed);
      events_.exec_exited(exit);
    } else if (name == "holder_exited" && events_.holder_exited) {
      base::ExitStatus status;
      status.signaled = event.contains("signal");
      Read(event, status.signaled ? "signal" : "exit_code", status.code);
      events_.holder_exited(status.ToString());
    } else if (name == "log_dropped" && events_.log_dropped) {
      std::uint64_t bytes = 0;
      Read(event, "bytes", bytes);
      events_.log_dropped(container, bytes);
    }
  } catch (const nlohmann::json::exception& wrong) {
    base::LogWarning("malformed event from a monitor", {{"error", wrong.what()}});
  }
}

void ClientConnection::EndAll() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (const auto& [seq, waiter] : waiters_) waiter->ended = true;
  answered_.notify_all();
}

void ClientConnection::Mute() {
  {
    const std::lock_guard telling(telling_);
    muted_ = true;
  }
  EndAll();
  ::shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace berth::monitor
