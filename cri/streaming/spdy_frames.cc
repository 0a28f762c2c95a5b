// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/spdy_frames.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace berth::cri::streaming {
namespace {

constexpr std::size_t kHeadBytes = 8;
constexpr std::uint16_t kVersion = 3;
constexpr std::uint32_t kControlBit = 0x80000000;

std::string Bytes32(std::uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16), static_cast<char>(number >> 8),
          static_cast<char>(number)};
}

// The last four bytes of a head: flags and a length of 24 bits.
std::string FlagsAndLength(std::uint8_t flags, std::size_t size) {
  return Bytes32(static_cast<std::uint32_t>(flags) << 24 | (static_cast<std::uint32_t>(size) & 0xffffff));
}

}  // namespace

std::uint32_t Number32(std::string_view bytes, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = at; i < at + 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

absl::Status FrameParser::OnHead() {
  const std::uint32_t first = Number32(head_, 0);
  left_ = Number32(head_, 4) & 0xffffff;
  if ((first & kControlBit) == 0) return absl::OkStatus();
  const std::uint16_t version = (first >> 16) & 0x7fff;
  if (version != kVersion)
    return absl::InvalidArgumentError(
        absl::StrCat("a frame of SPDY version ", version, "; 3 is spoken here"));
  if (left_ > kMaxControlBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a control frame of ", left_, " bytes; at most ", kMaxControlBytes, " are taken"));
  }
  return absl::OkStatus();
}

absl::Status FrameParser::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (head_.size() < kHeadBytes) {
      const std::size_t part = std::min(kHeadBytes - head_.size(), bytes.size());
      head_ += bytes.substr(0, part);
      bytes.remove_prefix(part);
      if (head_.size() < kHeadBytes) return absl::OkStatus();
      if (auto good = OnHead(); !good.ok()) return good;
    }
    const std::uint32_t first = Number32(head_, 0);
    const std::uint8_t flags = static_cast<std::uint8_t>(head_[4]);
    const std::string_view part = bytes.substr(0, left_);
    bytes.remove_prefix(part.size());
    left_ -= part.size();
    absl::Status taken;
    if ((first & kControlBit) != 0) {
      content_ += part;
      if (left_ > 0) return absl::OkStatus();
      head_.clear();
      const std::string content = std::move(content_);
      content_.clear();
      taken = sink_.OnControl(first & 0xffff, flags, content);
    } else {
      if (left_ == 0) head_.clear();
      taken = sink_.OnData(first, part, left_ == 0 && (flags & kFlagFin) != 0);
    }
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

std::string DataHead(std::uint32_t stream, std::size_t size, bool fin) {
  return Bytes32(stream & ~kControlBit) + FlagsAndLength(fin ? kFlagFin : 0, size);
}

std::string ControlFrame(FrameType type, std::uint8_t flags, std::string_view content) {
  const std::uint32_t first = kControlBit | kVersion << 16 | static_cast<std::uint16_t>(type);
  return (Bytes32(first) + FlagsAndLength(flags, content.size())).append(content);
}

std::string SynReplyFrame(std::uint32_t stream, std::string_view header_block) {
  return ControlFrame(FrameType::kSynReply, 0, Bytes32(stream).append(header_block));
}

std::string RstStreamFrame(std::uint32_t stream, ResetReason reason) {
  return ControlFrame(FrameType::kRstStream, 0,
                      Bytes32(stream) + Bytes32(static_cast<std::uint32_t>(reason)));
}

std::string PingFrame(std::uint32_t id) { return ControlFrame(FrameType::kPing, 0, Bytes32(id)); }

std::string GoAwayFrame(std::uint32_t last_good_stream, std::uint32_t reason) {
  return ControlFrame(FrameType::kGoAway, 0, Bytes32(last_good_stream) + Bytes32(reason));
}

}  // namespace berth::cri::streaming
