// SPDX-License-Identifier: Apache-2.0
#include "monitor/attach.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"

namespace berth::monitor {
namespace {

// After the container's end.
constexpr std::int64_t kFinishPatience = 30 * base::kSecondNs;
constexpr int kPipeBytes = 1 << 20;  // the most that is given without CAP_SYS_RESOURCE
constexpr std::size_t kReadBytes = 64 * 1024;

void MakeNonBlocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

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
  for (Stream* stream : {&stdout_, &stderr_}) {
    Out& out = attacher.*stream->out;
    if (!out.fd) continue;
    (void)::fcntl(out.fd.get(), F_SETPIPE_SZ, kPipeBytes);  // else it has what it has
    Watch(attacher.id, *stream, out);
  }
  if (!attacher.in) return;
  if (stdin_ < 0) {
    attacher.in.Reset();
  } else {
    WatchInput(attacher);
  }
}

// A pipe that nobody reads any more tells so unasked.
void Attachments::Watch(const std::string& id, Stream& stream, Out& out) {
  (void)loop_.Watch(out.fd.get(), out.behind ? std::uint32_t{EPOLLOUT} : 0,
                    [this, self = weak_from_this(), id, &stream](std::uint32_t events) {
                      if (const auto alive = self.lock()) OnRoom(id, stream, events);
                    });
}

void Attachments::Close(Out& out) {
  if (!out.fd) return;
  loop_.Unwatch(out.fd.get());
  out = Out();
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
  if (last && end_stdin_) end_stdin_();
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

void Attachments::Take(const std::string& stream_name, std::string_view bytes) {
  Stream& stream = stream_name == "stdout" ? stdout_ : stderr_;
  for (Attacher& attacher : attachers_) {
    Out& out = attacher.*stream.out;
    if (!out.fd || out.behind) continue;
    const ssize_t put = WriteSome(out.fd.get(), bytes);
    if (put < 0) {
      Close(out);
    } else if (static_cast<std::size_t>(put) < bytes.size()) {
      out.at = stream.ring.end() + static_cast<std::uint64_t>(put);
      out.behind = true;
      Watch(attacher.id, stream, out);
    }
  }
  if (AnyBehind(stream)) {
    stream.ring.Append(bytes);
  } else {
    stream.ring.Pass(bytes.size());
  }
  DropClosed();
}

// Until its pipe is full or it has all there is.
void Attachments::Write(const Stream& stream, Out& out) {
  for (;;) {
    if (out.note.empty() && out.at < stream.ring.begin()) {
      // Half a ring: or the next turn of the loop would find it out of the ring again, and so on.
      const std::uint64_t go_on_at = stream.ring.end() - OutputRing::kBytes / 2;
      out.note = "\r\n[berth: " + std::to_string(go_on_at - out.at) +
                 " bytes are missing here: this client reads too slowly]\r\n";
      out.at = go_on_at;
    }
    const bool is_note = !out.note.empty();
    const std::string_view bytes = is_note ? std::string_view(out.note) : stream.ring.From(out.at);
    if (bytes.empty()) {
      out.behind = false;
      return;
    }
    const ssize_t put = WriteSome(out.fd.get(), bytes);
    if (put < 0) return Close(out);
    if (put == 0) return;
    if (is_note) {
      out.note.erase(0, static_cast<std::size_t>(put));
    } else {
      out.at += static_cast<std::uint64_t>(put);
    }
  }
}

void Attachments::OnRoom(const std::string& id, Stream& stream, std::uint32_t events) {
  Attacher* attacher = Find(id);
  if (attacher == nullptr) return;
  Out& out = attacher->*stream.out;
  if ((events & EPOLLERR) != 0) {
    Close(out);
  } else if (out.behind) {
    Write(stream, out);
    if (out.fd && !out.behind) finished_ ? Close(out) : Watch(id, stream, out);
  }
  Settle(stream);
}

bool Attachments::AnyBehind(const Stream& stream) const {
  return std::any_of(attachers_.begin(), attachers_.end(),
                     [&](const Attacher& attacher) { return (attacher.*stream.out).behind; });
}

void Attachments::Settle(Stream& stream) {
  if (!AnyBehind(stream)) stream.ring.Pass(0);
  DropClosed();
  if (finished_ && attachers_.empty()) loop_.Cancel(std::exchange(give_up_, 0));
}

void Attachments::Finish() {
  if (std::exchange(finished_, true)) return;
  const auto self = shared_from_this();
  end_stdin_ = nullptr;
  SetStdin(-1);
  for (Attacher& attacher : attachers_) {
    for (Out* out : {&attacher.out, &attacher.err}) {
      if (!out->behind) Close(*out);
    }
  }
  DropClosed();
  if (attachers_.empty()) return;
  give_up_ = loop_.After(kFinishPatience, [self] {
    for (Attacher& attacher : self->attachers_) {
      self->Close(attacher.out);
      self->Close(attacher.err);
    }
    self->attachers_.clear();
  });
}

}  // namespace berth::monitor
