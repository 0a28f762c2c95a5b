// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/wire.h"

#include <netinet/tcp.h>

#include <array>
#include <boost/asio/write.hpp>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "cri/streaming/socket.h"

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// How long a client may take to close after our goodbye, and to take what is queued before it.
constexpr std::int64_t kGoodbyeNs = 10 * base::kSecondNs;
constexpr std::int64_t kFinishNs = 300 * base::kSecondNs;
constexpr std::int64_t kTellAliveNs = 5 * base::kSecondNs;
constexpr auto kTick = std::chrono::seconds(1);       // while a client's leaving would not be seen at once
constexpr auto kIdleTick = std::chrono::seconds(15);  // else
constexpr std::size_t kReadBytes = 32 * 1024;
constexpr std::size_t kMaxPieces = 16;

class ByteWire final : public Wire {
 public:
  explicit ByteWire(std::shared_ptr<Socket> socket) : Wire(std::move(socket)) {}

 private:
  void Read() override {
    socket_->async_read_some(asio::buffer(buffer_),
                             [self = shared_from_this(), this](error_code error, std::size_t got) {
                               error ? Failed(error) : Received(std::string_view(buffer_.data(), got), false);
                             });
  }
  void Write() override {
    std::vector<asio::const_buffer> buffers;
    std::size_t pieces = 0;
    for (auto& piece : queue_) {
      // TLS makes a record of its own of each buffer.
      if (socket_->tls() != nullptr && !piece.head.empty()) {
        piece.body.insert(0, piece.head);
        piece.head.clear();
      }
      if (!piece.head.empty()) buffers.push_back(asio::buffer(piece.head));
      if (!piece.body.empty()) buffers.push_back(asio::buffer(piece.body));
      if (++pieces == kMaxPieces) break;
    }
    asio::async_write(
        *socket_, buffers,
        [self = shared_from_this(), this, pieces](error_code error, std::size_t) { Written(error, pieces); });
  }
  void EndWriting() override {
    if (socket_->tls() == nullptr) {
      error_code ignored;
      socket_->tcp().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
      return;
    }
    socket_->tls()->async_shutdown([self = shared_from_this(), this](error_code) { Close(); });
  }

  std::array<char, kReadBytes> buffer_;
};

}  // namespace

Wire::Wire(std::shared_ptr<Socket> socket) : socket_(std::move(socket)), clock_(socket_->get_executor()) {}

Thread Wire::get_executor() const { return socket_->get_executor(); }

void Wire::Start(Events events, std::string early, std::int64_t idle_ns) {
  events_ = std::move(events);
  early_ = std::move(early);
  idle_ns_ = idle_ns;
  alive_at_ = told_alive_at_ = base::MonotonicNs();
  WatchClock();
  ReadOn();
}

void Wire::ReadOn() {
  if (closed_ || reading_ || eof_) return;
  if (!finishing_ && (held_ || queued_ >= kFloodBytes)) return;
  reading_ = true;
  if (!early_.empty()) {
    asio::post(socket_->get_executor(), [self = shared_from_this()] {
      const std::string early = std::exchange(self->early_, "");
      self->Received(early, false);
    });
    return;
  }
  Read();
}

void Wire::Touch() { alive_at_ = base::MonotonicNs(); }

void Wire::Received(std::string_view bytes, bool last) {
  reading_ = false;
  if (closed_) return;
  Touch();
  if (!finishing_) {
    const auto deliver = events_.bytes;  // Close() drops the events, and what they hold
    deliver(bytes, last);
  }
  ReadOn();
}

void Wire::Send(std::string head, std::string body) {
  if (closed_ || finishing_) return;
  queued_ += head.size() + body.size();
  queue_.push_back({std::move(head), std::move(body)});
  was_full_ = was_full_ || full();
  if (writing_) return;
  writing_ = true;
  Write();
}

void Wire::Written(const error_code& error, std::size_t pieces) {
  writing_ = false;
  if (closed_) return;
  if (error) return Failed(error);
  Touch();
  for (; pieces > 0; --pieces) {
    queued_ -= queue_.front().head.size() + queue_.front().body.size();
    queue_.pop_front();
  }
  if (!queue_.empty()) {
    writing_ = true;
    Write();
  }
  if (was_full_ && queued_ < kFullBytes / 2 && !finishing_) {
    was_full_ = false;
    const auto tell = events_.writable;
    if (tell) tell();
  }
  if (closed_) return;
  if (finishing_ && !goodbye_ && queue_.empty() && !writing_) {
    if (eof_) return Close();
    goodbye_ = true;
    finish_by_ = base::MonotonicNs() + kGoodbyeNs;
    EndWriting();
  }
  ReadOn();
}

void Wire::Hold(bool hold) {
  if (hold == held_ || closed_) return;
  held_ = hold;
  if (hold) {
    WatchClock();
  } else {
    ReadOn();
  }
}

void Wire::Finish() {
  if (closed_ || finishing_) return;
  finishing_ = true;
  finish_by_ = base::MonotonicNs() + kFinishNs;
  DropLater(get_executor(), std::exchange(events_, {}));
  WatchClock();
  if (!writing_) Written({}, 0);
  ReadOn();
}

void Wire::Close() {
  if (closed_) return;
  closed_ = true;
  clock_.cancel();
  error_code ignored;
  socket_->tcp().close(ignored);
  DropLater(get_executor(), std::exchange(events_, {}));
}

void Wire::Failed(const error_code& error) {
  reading_ = false;
  if (closed_) return;
  if (finishing_) {
    // It closed its side; what is queued may still be taken.
    eof_ = true;
    if (goodbye_ || error != asio::error::eof) Close();
    return;
  }
  Gone(error == asio::error::eof
           ? absl::CancelledError("the client closed the connection")
           : absl::CancelledError(absl::StrCat("the connection to the client broke: ", error.message())));
}

void Wire::Gone(const absl::Status& why) {
  const auto tell = events_.gone;
  Close();
  if (tell) tell(why);
}

// While nothing is read, a client that leaves is not seen: its end of the connection is asked for.
bool Wire::ClientHasLeft() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket_->tcp().native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  return info.tcpi_state != TCP_ESTABLISHED;
}

void Wire::WatchClock() {
  clock_.expires_after(held_ || finishing_ ? kTick : kIdleTick);
  clock_.async_wait([self = shared_from_this(), this](error_code error) {
    if (error || closed_) return;
    const std::int64_t now = base::MonotonicNs();
    if (finishing_) {
      if (now > finish_by_) return Close();
    } else if (!reading_ && ClientHasLeft()) {
      return Gone(absl::CancelledError("the client closed the connection"));
    } else if (idle_ns_ > 0 && now - alive_at_ > idle_ns_) {
      return Gone(absl::DeadlineExceededError(
          absl::StrCat("nothing was heard of the client for ", idle_ns_ / base::kSecondNs, " s")));
    } else if (!reading_ && !writing_ && now - told_alive_at_ > kTellAliveNs) {
      told_alive_at_ = now;
      const auto tell = events_.silence;
      tell ? tell() : SendAlive();
      if (closed_) return;
    }
    WatchClock();
  });
}

std::shared_ptr<Wire> MakeByteWire(std::shared_ptr<Socket> socket) {
  return std::make_shared<ByteWire>(std::move(socket));
}

}  // namespace berth::cri::streaming
