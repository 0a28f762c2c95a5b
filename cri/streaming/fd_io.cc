// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/fd_io.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;
using boost::system::error_code;

// A pipe's default capacity.
constexpr std::size_t kReadBytes = 64 * 1024;
// Others get their turn after so many reads.
constexpr int kReadsPerTurn = 8;

// A terminal's descriptors are several of one file: the kernel takes a closed one out of an epoll set only
// with the last of them, and Asio's close() leaves it to that.
void CloseOne(stream_descriptor& fd) {
  if (fd.is_open()) ::close(fd.release());
}

}  // namespace

FdSource::FdSource(const asio::any_io_executor& executor, base::UniqueFd fd, Events events)
    : fd_(executor, fd.Release()), events_(std::move(events)) {
  error_code ignored;
  fd_.non_blocking(true, ignored);
}

void FdSource::ReadSoon() {
  if (ended_ || waiting_) return;
  waiting_ = true;
  if (draining_) {  // there may be nothing to wait for
    asio::post(fd_.get_executor(), [self = shared_from_this()] {
      self->waiting_ = false;
      self->Read();
    });
    return;
  }
  fd_.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](error_code) {
    self->waiting_ = false;
    self->Read();  // also after Drain() has broken the wait off; an error is the read's to tell
  });
}

void FdSource::Read() {
  static char* const buffer = new char[kReadBytes];  // one thread reads
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (ended_ || paused_) return;
    const ssize_t got = ::read(fd_.native_handle(), buffer, kReadBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      if (draining_) return End();
      break;
    }
    if (got <= 0) return End();         // a terminal that nobody holds any more answers EIO
    const auto deliver = events_.data;  // Close() drops the events
    if (!deliver(std::string(buffer, static_cast<std::size_t>(got)))) paused_ = true;
  }
  if (!paused_) ReadSoon();
}

void FdSource::Resume() {
  if (!std::exchange(paused_, false)) return;
  ReadSoon();
}

void FdSource::Drain() {
  if (ended_ || std::exchange(draining_, true)) return;
  error_code ignored;
  if (waiting_) {
    fd_.cancel(ignored);
  } else if (!paused_) {
    ReadSoon();
  }
}

void FdSource::End() {
  const auto tell = events_.end;
  Close();
  if (tell) tell();
}

void FdSource::Close() {
  if (std::exchange(ended_, true)) return;
  CloseOne(fd_);
  asio::post(fd_.get_executor(), [self = shared_from_this(), events = std::exchange(events_, {})] {});
}

FdSink::FdSink(const asio::any_io_executor& executor, base::UniqueFd fd, Events events)
    : fd_(executor, fd.Release()), events_(std::move(events)) {
  error_code ignored;
  fd_.non_blocking(true, ignored);
}

void FdSink::Write(std::string_view bytes) {
  if (closed_ || ending_) return;
  queue_.append(bytes);
  was_full_ = was_full_ || full();
  if (!waiting_) Flush();
}

void FdSink::End(std::string_view farewell) {
  if (closed_ || ending_) return;
  queue_.append(farewell);
  ending_ = true;
  if (!waiting_) Flush();
}

void FdSink::Flush() {
  while (!closed_ && written_ < queue_.size()) {
    const ssize_t put = ::write(fd_.native_handle(), queue_.data() + written_, queue_.size() - written_);
    if (put > 0) {
      written_ += static_cast<std::size_t>(put);
    } else if (put < 0 && errno == EAGAIN) {
      waiting_ = true;
      fd_.async_wait(stream_descriptor::wait_write, [self = shared_from_this()](error_code) {
        self->waiting_ = false;
        self->Flush();
      });
      break;
    } else if (put >= 0 || errno != EINTR) {
      const auto tell = events_.broken;
      Close();
      if (tell) tell();
      return;
    }
  }
  if (closed_) return;
  if (written_ == queue_.size()) {
    queue_ = std::string();  // nothing is held for an idle session
    written_ = 0;
    if (ending_) {
      const auto tell = events_.ended;
      ::shutdown(fd_.native_handle(), SHUT_WR);  // nothing, but for a socket
      Close();
      if (tell) tell();
      return;
    }
  }
  if (written_ >= kFullBytes) {
    queue_.erase(0, written_);
    written_ = 0;
  }
  if (was_full_ && queue_.size() - written_ < kFullBytes / 2) {
    was_full_ = false;
    const auto tell = events_.writable;
    if (tell) tell();
  }
}

void FdSink::Close() {
  if (std::exchange(closed_, true)) return;
  CloseOne(fd_);
  queue_ = std::string();
  asio::post(fd_.get_executor(), [self = shared_from_this(), events = std::exchange(events_, {})] {});
}

}  // namespace berth::cri::streaming
