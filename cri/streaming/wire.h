// SPDX-License-Identifier: Apache-2.0
// An upgraded connection to a client: bytes or messages in both directions, with backpressure and a bounded
// queue. Everything happens on the streaming thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace berth::cri::streaming {

class Socket;
using Thread = boost::asio::any_io_executor;  // the streaming thread, as Asio's objects know it

// Destroys callbacks (and what they hold) a little later: one of them may be what is running just now.
template <typename T>
void DropLater(const Thread& thread, T callbacks) {
  boost::asio::post(thread, [callbacks = std::move(callbacks)] {});
}

// Held by shared_ptr; it keeps itself alive until the connection is closed.
class Wire : public std::enable_shared_from_this<Wire> {
 public:
  struct Events {
    // `last`: a message ends with these bytes; never so for a byte stream.
    std::function<void(std::string_view bytes, bool last)> bytes;
    std::function<void()> writable;  // the queue is no longer full
    // Nothing is read for a while: send something. A client that lives learns that we do; the host of one
    // that left, and whose goodbye is stuck behind what we do not read, resets the connection. May be empty.
    std::function<void()> silence;
    // The client left, broke the connection or said nothing for too long. Once, and not after Finish or
    // Close.
    std::function<void(const absl::Status& why)> gone;
  };

  virtual ~Wire() = default;
  // `early` came with the upgrade request.
  void Start(Events events, std::string early, std::int64_t idle_ns);
  // One message, or bytes: `head` and then `body`.
  void Send(std::string head, std::string body = {});
  // More should wait for `writable`. Sending is possible all the same: answers of a few bytes.
  bool full() const { return queued_ >= kFullBytes; }
  // Reads nothing more until it is let go: what the client sends waits in its own and the kernel's buffers.
  void Hold(bool hold);
  // Sends what is queued, says goodbye and closes; what still arrives is dropped. No events any more.
  void Finish();
  void Close();  // at once; no events any more
  Thread get_executor() const;

 protected:
  explicit Wire(std::shared_ptr<Socket> socket);
  // One at a time each; they end with Received or Failed, and with Written.
  virtual void Read() = 0;
  virtual void Write() = 0;
  // The goodbye, once all is written.
  virtual void EndWriting() = 0;
  virtual void SendAlive() {}  // the same, where the connection itself has a message for that

  void Received(std::string_view bytes, bool last);
  void Touch();  // the client lives
  void Written(const boost::system::error_code& error, std::size_t pieces);
  void Failed(const boost::system::error_code& error);
  void ReadOn();

  struct Piece {
    std::string head;
    std::string body;
  };
  const std::shared_ptr<Socket> socket_;
  std::deque<Piece> queue_;

 private:
  static constexpr std::size_t kFullBytes = 256 * 1024;
  // Answers to pings and the like, to a client that does not read them: it is not read from any more either.
  static constexpr std::size_t kFloodBytes = 1 << 20;

  void Gone(const absl::Status& why);
  void WatchClock();
  bool ClientHasLeft() const;

  Events events_;
  std::string early_;
  boost::asio::steady_timer clock_;
  std::int64_t idle_ns_ = 0;
  std::int64_t alive_at_ = 0;
  std::int64_t told_alive_at_ = 0;
  std::int64_t finish_by_ = 0;
  std::size_t queued_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  bool held_ = false;
  bool was_full_ = false;
  bool finishing_ = false;
  bool goodbye_ = false;
  bool eof_ = false;
  bool closed_ = false;
};

// A byte stream.
std::shared_ptr<Wire> MakeByteWire(std::shared_ptr<Socket> socket);

}  // namespace berth::cri::streaming
