// SPDX-License-Identifier: Apache-2.0
#include "monitor/attach.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"

namespace berth::monitor {
namespace {

constexpr std::int64_t kPatience = 500 * base::kMillisecondNs;
constexpr std::int64_t kTick = 5 * base::kMillisecondNs;
// After the container's end nothing waits for the clients but this.
constexpr std::int64_t kFinishPatience = 30 * base::kSecondNs;
constexpr int kPipeBytes = 1 << 20;  // the most that is given without CAP_SYS_RESOURCE
constexpr std::size_t kMaxHeld = 256 * 1024;
constexpr std::size_t kReadBytes = 64 * 1024;

void MakeNonBlocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

int Unread(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : 0;
}

// What was written; -1: nobody reads it any more.
ssize_t WriteSome(int fd, std::string_view bytes) {
  for (;;) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put >= 0) return put;
    if (errno == EINTR) continue;
    return errno == EAGAIN ? 0 : -1;
  }
}

}  // namespace

Attachments::Attacher* Attachments::Find(const std::string& id) {
  const auto at =
      std::find_if(attachers_.begin(), attachers_.end(), [&](const Attacher& a) { return a.id == id; });
  return at == attachers_.end() ? nullptr : &*at;
}

void Attachments::Add(std::string id, Pipes pipes) {
  for (base::UniqueFd* fd : {&pipes.in, &pipes.out, &pipes.err}) {
    if (*fd) MakeNonBlocking(fd->get());
  }
  Attacher& attacher = attachers_.emplace_back();
  attacher.id = std::move(id);
  attacher.in = std::move(pipes.in);
  attacher.out.fd = std::move(pipes.out);
  attacher.err.fd = std::move(pipes.err);
  for (Out* out : {&attacher.out, &attacher.err}) {
    if (!out->fd) continue;
    (void)::fcntl(out->fd.get(), F_SETPIPE_SZ, kPipeBytes);  // else it has what it has
    WatchOutput(attacher.id, *out);
  }
  if (!attacher.in) return;
  if (stdin_ < 0) {
    attacher.in.Reset();
  } else {
    WatchInput(attacher);
  }
}

// A pipe that nobody reads any more tells so.
void Attachments::WatchOutput(const std::string& id, Out& out) {
  (void)loop_.Watch(out.fd.get(), 0, [this, self = weak_from_this(), id, fd = out.fd.get()](std::uint32_t) {
    const auto alive = self.lock();
    if (alive == nullptr) return;
    Attacher* attacher = Find(id);
    if (attacher == nullptr) return;
    for (Out* each : {&attacher->out, &attacher->err}) {
      if (each->fd.get() == fd) Close(*each);
    }
    DropClosed();
  });
}

void Attachments::Close(Out& out) {
  if (!out.fd) return;
  loop_.Unwatch(out.fd.get());
  out.fd.Reset();
  out.held = std::string();
}

void Attachments::CloseInput(Attacher& attacher) {
  if (!attacher.in) return;
  loop_.Unwatch(attacher.in.get());
  attacher.in.Reset();
}

void Attachments::DropClosed() {
  attachers_.remove_if(
      [](const Attacher& a) { return !a.in && !a.out.fd && !a.err.fd && a.held_in.empty(); });
}

void Attachments::SetStdin(int fd) {
  if (stdin_watched_) loop_.Unwatch(stdin_);
  stdin_watched_ = false;
  stdin_ = fd;
  if (fd >= 0) return;
  for (Attacher& attacher : attachers_) {
    CloseInput(attacher);
    attacher.held_in = std::string();
  }
  DropClosed();
}

void Attachments::InputIsLast(const std::string& id) {
  if (Attacher* attacher = Find(id)) attacher->in_is_last = true;
}

void Attachments::WatchInput(Attacher& attacher) {
  (void)loop_.Watch(attacher.in.get(), EPOLLIN,
                    [this, self = weak_from_this(), id = attacher.id](std::uint32_t) {
                      if (const auto alive = self.lock()) ReadInput(id);
                    });
}

void Attachments::ReadInput(const std::string& id) {
  static char buffer[kReadBytes];
  Attacher* attacher = Find(id);
  if (attacher == nullptr || !attacher->in || !attacher->held_in.empty()) return;
  const ssize_t got = ::read(attacher->in.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) {
    (void)WriteInput(*attacher, std::string_view(buffer, static_cast<std::size_t>(got)));
    return;
  }
  CloseInput(*attacher);
  const bool last = attacher->in_is_last;
  DropClosed();
  if (last && hooks_.end_stdin) hooks_.end_stdin();
}

// False: the container's input takes no more just now, or nobody reads it.
bool Attachments::WriteInput(Attacher& attacher, std::string_view bytes) {
  const ssize_t put = WriteSome(stdin_, bytes);
  if (put < 0) {
    SetStdin(-1);
    return false;
  }
  attacher.held_in = bytes.substr(static_cast<std::size_t>(put));
  if (attacher.held_in.empty()) return true;
  loop_.Unwatch(attacher.in.get());
  WaitForStdin();
  return false;
}

void Attachments::WaitForStdin() {
  if (stdin_watched_) return;
  stdin_watched_ = loop_
                       .Watch(stdin_, EPOLLOUT,
                              [this, self = weak_from_this()](std::uint32_t) {
                                const auto alive = self.lock();
                                if (alive == nullptr || stdin_ < 0) return;
                                loop_.Unwatch(stdin_);
                                stdin_watched_ = false;
                                for (Attacher& attacher : attachers_) {
                                  if (attacher.held_in.empty()) continue;
                                  const std::string held = std::move(attacher.held_in);
                                  if (!WriteInput(attacher, held)) return;
                                  if (attacher.in) WatchInput(attacher);
                                }
                              })
                       .ok();
}

// True when the pipe took what was held and has room for more.
bool Attachments::Flush(Out& out) {
  if (out.held.empty()) return true;
  const ssize_t put = WriteSome(out.fd.get(), out.held);
  if (put < 0) {
    Close(out);
    return true;
  }
  out.held.erase(0, static_cast<std::size_t>(put));
  return out.held.empty();
}

bool Attachments::Put(Out& out, std::string_view bytes) {
  if (!out.fd) return true;
  if (out.behind) {
    if (Unread(out.fd.get()) > 0) {
      out.left_out += bytes.size();
      return true;
    }
    out.behind = false;
    out.held = "\r\n[berth: " + std::to_string(out.left_out) +
               " bytes are missing here: this client reads too slowly]\r\n";
    out.left_out = 0;
  }
  if (!Flush(out)) {
    const std::size_t room = kMaxHeld - std::min(out.held.size(), kMaxHeld);
    out.held += bytes.substr(0, room);
    out.left_out += bytes.size() - std::min(bytes.size(), room);
    return false;
  }
  if (!out.fd) return true;
  const ssize_t put = WriteSome(out.fd.get(), bytes);
  if (put < 0) {
    Close(out);
    return true;
  }
  out.held = bytes.substr(static_cast<std::size_t>(put));
  return out.held.empty();
}

bool Attachments::Take(const std::string& stream, std::string_view bytes) {
  bool all = true;
  for (Attacher& attacher : attachers_)
    all = Put(stream == "stdout" ? attacher.out : attacher.err, bytes) && all;
  if (attachers_.empty()) return true;
  DropClosed();
  if (!all && tick_ == 0) {
    waiting_since_ = base::MonotonicNs();
    LookAgain();
  }
  return tick_ == 0;
}

void Attachments::LookAgain() {
  tick_ = loop_.After(kTick, [self = shared_from_this()] {
    self->tick_ = 0;
    self->OnTick();
  });
}

void Attachments::OnTick() {
  const std::int64_t waited = base::MonotonicNs() - waiting_since_;
  const bool give_up = waited > (finished_ ? kFinishPatience : kPatience);
  bool all = true;
  for (Attacher& attacher : attachers_) {
    for (Out* out : {&attacher.out, &attacher.err}) {
      if (!out->fd || out->behind || out->held.empty()) continue;
      if (Flush(*out) && Unread(out->fd.get()) <= kPipeBytes / 2) continue;
      if (!give_up) {
        all = false;
        continue;
      }
      out->left_out += out->held.size();
      out->held = std::string();
      out->behind = true;
    }
  }
  if (!all) return LookAgain();
  DropClosed();
  if (finished_) {
    for (Attacher& attacher : attachers_) {
      Close(attacher.out);
      Close(attacher.err);
    }
    attachers_.clear();
  } else if (hooks_.resume) {
    hooks_.resume();
  }
}

void Attachments::Finish() {
  const auto self = shared_from_this();
  hooks_ = {};
  finished_ = true;
  SetStdin(-1);
  waiting_since_ = base::MonotonicNs();
  loop_.Cancel(tick_);
  tick_ = 0;
  OnTick();
}

}  // namespace berth::monitor
