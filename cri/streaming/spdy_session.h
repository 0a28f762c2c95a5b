// SPDX-License-Identifier: Apache-2.0
// The server's side of one SPDY/3.1 connection, without I/O: bytes in, events and bytes out. Streams are
// opened by the client only. Flow control by windows is not done: the clients of Kubernetes (spdystream)
// neither send nor obey WINDOW_UPDATE; backpressure is the connection's own. Not thread safe; events may call
// back into it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cri/streaming/spdy_frames.h"
#include "cri/streaming/spdy_headers.h"

namespace berth::cri::streaming {

class SpdySession : private FrameSink {
 public:
  using StreamId = std::uint32_t;
  struct Events {
    // May the client open this stream? Nothing is to be done about it yet.
    std::function<bool(const Headers&)> accepts;
    std::function<void(StreamId, const Headers&)> opened;  // it has been answered with SYN_REPLY
    std::function<void(StreamId, std::string_view)> data;
    std::function<void(StreamId)> half_closed;  // the client sends no more on it
    std::function<void(StreamId)> reset;        // by the client: nothing goes either way any more
    std::function<void(std::string head, std::string body)> send;
  };
  SpdySession(std::size_t max_streams, Events events)
      : max_streams_(max_streams), events_(std::move(events)), parser_(*this) {}

  // An error is the connection's end; GOAWAY has been sent.
  absl::Status Feed(std::string_view bytes);
  // Nothing happens on a stream that is not there (any more) or that we have closed.
  void Send(StreamId stream, std::string data, bool fin = false);
  void Fin(StreamId stream) { Send(stream, "", true); }
  void Reset(StreamId stream, ResetReason reason);
  void Ping();  // the answer is of no interest
  void GoAway();
  bool open(StreamId stream) const { return streams_.contains(stream); }

 private:
  struct Stream {
    bool theirs_closed = false;
    bool ours_closed = false;
  };
  absl::Status OnControl(std::uint16_t type, std::uint8_t flags, std::string_view content) override;
  absl::Status OnData(std::uint32_t stream, std::string_view part, bool fin) override;
  absl::Status OnSynStream(std::uint8_t flags, std::string_view content);
  void TheirsClosed(StreamId stream);

  const std::size_t max_streams_;
  const Events events_;
  FrameParser parser_;
  HeaderReader reader_;
  HeaderWriter writer_;
  std::map<StreamId, Stream> streams_;
  StreamId newest_ = 0;
  std::uint32_t pings_ = 0;
};

}  // namespace berth::cri::streaming
