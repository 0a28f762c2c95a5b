// SPDX-License-Identifier: Apache-2.0
// The least client of a streaming server: SPDY/3.1, as kubelet speaks it with a runtime, on a blocking
// socket. It counts what comes and drops it, so that the runtime's side is what is measured.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/fd.h"
#include "cri/streaming/spdy_frames.h"
#include "cri/streaming/spdy_headers.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e::bench {

namespace streaming = ::berth::cri::streaming;  // not the CRI's messages, which are cri here

// Methods throw TestError. Not thread-safe.
class SpdyClient : private streaming::FrameSink {
 public:
  // `url`: http://ADDRESS:PORT/PATH, as Exec and PortForward answer; `protocol` is offered alone.
  SpdyClient(const std::string& url, const std::string& protocol);

  struct Stream {
    long long bytes = 0;
    std::string head;  // the first bytes, for error streams
    bool ended = false;
  };
  std::uint32_t Open(const streaming::Headers& headers);
  const Stream& stream(std::uint32_t id) { return streams_[id]; }
  // Reads until the other side has ended all streams; what it ends we end.
  void ReadToTheEnd();
  // Between the first and the last data.
  double SecondsOfData() const { return std::chrono::duration<double>(last_ - first_).count(); }

 private:
  absl::Status OnControl(std::uint16_t type, std::uint8_t flags, std::string_view content) override;
  absl::Status OnData(std::uint32_t stream, std::string_view part, bool fin) override;
  void Ended(std::uint32_t id);
  void Write(const std::string& bytes) const;

  base::UniqueFd socket_;
  streaming::HeaderWriter writer_;
  streaming::FrameParser parser_;
  std::map<std::uint32_t, Stream> streams_;
  std::uint32_t next_ = 1;
  Clock::time_point first_{}, last_{};
};

}  // namespace berth::e2e::bench
