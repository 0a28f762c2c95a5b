// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/spdy_session.h"

#include "absl/strings/str_cat.h"

namespace berth::cri::streaming {
namespace {

constexpr std::uint8_t kFlagUnidirectional = 2;
constexpr std::uint32_t kIdBits = 0x7fffffff;
// A data frame's length has 24 bits; this keeps frames short enough for streams to take turns.
constexpr std::size_t kMaxDataBytes = 1 << 20;

absl::Status CutShort(const char* frame) {
  return absl::InvalidArgumentError(absl::StrCat("a ", frame, " frame is too short"));
}

}  // namespace

absl::Status SpdySession::Feed(std::string_view bytes) {
  absl::Status status = parser_.Feed(bytes);
  if (!status.ok()) events_.send(GoAwayFrame(newest_, /*protocol error*/ 1), "");
  return status;
}

absl::Status SpdySession::OnControl(std::uint16_t type, std::uint8_t flags, std::string_view content) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::kSynStream:
      return OnSynStream(flags, content);
    case FrameType::kRstStream: {
      if (content.size() < 8) return CutShort("RST_STREAM");
      const StreamId id = Number32(content, 0) & kIdBits;
      if (streams_.erase(id) != 0) events_.reset(id);
      return absl::OkStatus();
    }
    case FrameType::kPing: {
      if (content.size() < 4) return CutShort("PING");
      // Even numbers answer pings of ours: there are none.
      const std::uint32_t id = Number32(content, 0);
      if (id % 2 == 1) events_.send(PingFrame(id), "");
      return absl::OkStatus();
    }
    case FrameType::kHeaders:
    case FrameType::kSynReply: {
      // Nobody needs what they say; the decompression has to see every block.
      if (content.size() < 4) return CutShort("HEADERS");
      auto read = reader_.Read(content.substr(4));
      if (read.ok() && (flags & kFlagFin) != 0) TheirsClosed(Number32(content, 0) & kIdBits);
      return read.status();
    }
    default:
      return absl::OkStatus();  // SETTINGS, GOAWAY (the end of the connection follows), WINDOW_UPDATE,
                                // unknown ones
  }
}

absl::Status SpdySession::OnSynStream(std::uint8_t flags, std::string_view content) {
  constexpr std::size_t kFixedBytes = 10;
  if (content.size() < kFixedBytes) return CutShort("SYN_STREAM");
  const StreamId id = Number32(content, 0) & kIdBits;
  auto headers = reader_.Read(content.substr(kFixedBytes));
  if (!headers.ok()) return headers.status();
  if (id % 2 == 0 || id <= newest_)
    return absl::InvalidArgumentError(absl::StrCat("stream ", id, " is no new stream of a client's"));
  newest_ = id;
  if (streams_.size() >= max_streams_ || (flags & kFlagUnidirectional) != 0 || !events_.accepts(*headers)) {
    events_.send(RstStreamFrame(id, ResetReason::kRefusedStream), "");
    return absl::OkStatus();
  }
  streams_.emplace(id, Stream());
  events_.send(SynReplyFrame(id, writer_.Write({})), "");
  events_.opened(id, *headers);
  if ((flags & kFlagFin) != 0) TheirsClosed(id);
  return absl::OkStatus();
}

absl::Status SpdySession::OnData(std::uint32_t id, std::string_view part, bool fin) {
  const auto at = streams_.find(id);
  if (at == streams_.end() || at->second.theirs_closed) {
    // Data may be under way while our RST_STREAM is; what was never opened is the client's mistake.
    if (id > newest_ || id % 2 == 0)
      return absl::InvalidArgumentError(absl::StrCat("data for stream ", id, ", which was never opened"));
    return absl::OkStatus();
  }
  if (!part.empty()) events_.data(id, part);
  if (fin) TheirsClosed(id);
  return absl::OkStatus();
}

void SpdySession::TheirsClosed(StreamId id) {
  const auto at = streams_.find(id);
  if (at == streams_.end() || at->second.theirs_closed) return;
  at->second.theirs_closed = true;
  if (at->second.ours_closed) streams_.erase(at);
  events_.half_closed(id);
}

void SpdySession::Send(StreamId id, std::string data, bool fin) {
  const auto at = streams_.find(id);
  if (at == streams_.end() || at->second.ours_closed) return;
  while (data.size() > kMaxDataBytes) {
    events_.send(DataHead(id, kMaxDataBytes, false), data.substr(0, kMaxDataBytes));
    data.erase(0, kMaxDataBytes);
  }
  if (fin) {
    at->second.ours_closed = true;
    if (at->second.theirs_closed) streams_.erase(at);
  }
  const std::size_t size = data.size();
  events_.send(DataHead(id, size, fin), std::move(data));
}

void SpdySession::Reset(StreamId id, ResetReason reason) {
  if (streams_.erase(id) != 0) events_.send(RstStreamFrame(id, reason), "");
}

void SpdySession::Ping() { events_.send(PingFrame(2 * ++pings_), ""); }

void SpdySession::GoAway() { events_.send(GoAwayFrame(newest_, 0), ""); }

}  // namespace berth::cri::streaming
