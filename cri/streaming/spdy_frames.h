// SPDX-License-Identifier: Apache-2.0
// Frames of SPDY/3.1 (draft 3.1, section 2): cut out of a byte stream, and made. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace berth::cri::streaming {

enum class FrameType : std::uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

// Reasons in RST_STREAM.
enum class ResetReason : std::uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefusedStream = 3,
  kCancel = 5,
  kInternalError = 6,
  kAlreadyClosed = 9,
};

inline constexpr std::uint8_t kFlagFin = 1;
// Longest control frame taken: its content is held whole. Data is never held.
inline constexpr std::size_t kMaxControlBytes = 16 * 1024;

// What a parser finds. An error ends the parsing and comes back from Feed.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual absl::Status OnControl(std::uint16_t type, std::uint8_t flags, std::string_view content) = 0;
  // A part of a data frame as it arrives; `fin` only with the last part of a frame that has the flag.
  virtual absl::Status OnData(std::uint32_t stream, std::string_view part, bool fin) = 0;
};

class FrameParser {
 public:
  explicit FrameParser(FrameSink& sink) : sink_(sink) {}
  absl::Status Feed(std::string_view bytes);

 private:
  absl::Status OnHead();

  FrameSink& sink_;
  std::string head_;     // of the frame that is arriving; 8 bytes when complete
  std::string content_;  // of a control frame that is arriving
  std::size_t left_ = 0;
};

// Numbers in network order, as all of SPDY has them. `at` must be within `bytes`.
std::uint32_t Number32(std::string_view bytes, std::size_t at);

// The 8 bytes before `size` bytes of data.
std::string DataHead(std::uint32_t stream, std::size_t size, bool fin);
std::string ControlFrame(FrameType type, std::uint8_t flags, std::string_view content);
std::string SynReplyFrame(std::uint32_t stream, std::string_view header_block);
std::string RstStreamFrame(std::uint32_t stream, ResetReason reason);
std::string PingFrame(std::uint32_t id);
std::string GoAwayFrame(std::uint32_t last_good_stream, std::uint32_t reason);

}  // namespace berth::cri::streaming
