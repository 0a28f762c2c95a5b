// SPDX-License-Identifier: Apache-2.0
// Descriptors (pipes, terminals, sockets) read and written from the streaming thread, with backpressure. All
// of it happens on that thread.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace berth::cri::streaming {

// Reads a descriptor to its end. Held by shared_ptr; Close() breaks the circle.
class FdSource : public std::enable_shared_from_this<FdSource> {
 public:
  struct Events {
    // Takes what was read; false: nothing more until Resume().
    std::function<bool(std::string bytes)> data;
    std::function<void()> end;  // once: the end, an error, or with Drain() nothing more is there
  };
  FdSource(const boost::asio::any_io_executor& executor, base::UniqueFd fd, Events events);
  void Start() { ReadSoon(); }
  void Resume();
  // Who writes has ended: what is there is read, and then it is over, whoever else holds the other end.
  void Drain();
  void Close();
  bool ended() const { return ended_; }

 private:
  void ReadSoon();
  void Read();
  void End();

  boost::asio::posix::stream_descriptor fd_;
  Events events_;
  bool waiting_ = false;  // for the descriptor
  bool paused_ = false;   // for Resume
  bool draining_ = false;
  bool ended_ = false;
};

// Writes to a descriptor; what it does not take at once is held here and the feeder is asked to stop.
class FdSink : public std::enable_shared_from_this<FdSink> {
 public:
  struct Events {
    std::function<void()> writable;  // no longer full()
    std::function<void()> broken;    // once: nobody reads it any more
    std::function<void()> ended;     // once, after End(): all is written
  };
  FdSink(const boost::asio::any_io_executor& executor, base::UniqueFd fd, Events events);
  void Write(std::string_view bytes);
  bool full() const { return queue_.size() - written_ >= kFullBytes; }
  // When all is written: shuts a socket's writing side down, and closes the descriptor. `farewell` comes last
  // (a terminal's end-of-file character).
  void End(std::string_view farewell = "");
  void Close();

 private:
  static constexpr std::size_t kFullBytes = 64 * 1024;
  void Flush();

  boost::asio::posix::stream_descriptor fd_;
  Events events_;
  std::string queue_;
  std::size_t written_ = 0;  // of queue_
  bool waiting_ = false;
  bool was_full_ = false;
  bool ending_ = false;
  bool closed_ = false;
};

}  // namespace berth::cri::streaming
