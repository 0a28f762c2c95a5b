// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/ws_channels.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace berth::cri::streaming {
namespace {

constexpr int kCloseChannel = 255;
constexpr std::size_t kGroup = 4;  // base64 characters that make three bytes

}  // namespace

absl::Status ChannelReader::Feed(std::string_view part, bool last) {
  if (channel_ < 0 && !part.empty()) {
    channel_ = static_cast<unsigned char>(part.front());
    if (protocol_.base64) {
      if (channel_ < '0' || channel_ > '9')
        return absl::InvalidArgumentError("a message does not begin with the digit of its channel");
      channel_ -= '0';
    }
    part.remove_prefix(1);
  }
  if (channel_ >= 0) {
    if (protocol_.base64) {
      if (auto good = OnText(part, last); !good.ok()) return good;
    } else if (protocol_.can_close && channel_ == kCloseChannel) {
      held_ += part.substr(0, 2 - std::min<std::size_t>(held_.size(), 2));
      if (last && held_.size() == 1) events_.closed(static_cast<unsigned char>(held_[0]));
      if (last && held_.size() != 1)
        return absl::InvalidArgumentError("a message that closes a channel does not name one");
    } else if (!part.empty()) {
      events_.data(static_cast<unsigned>(channel_), part);
    }
  }
  if (last) {
    channel_ = -1;
    held_.clear();
  }
  return absl::OkStatus();
}

absl::Status ChannelReader::OnText(std::string_view part, bool last) {
  std::string text = held_ + std::string(part);
  held_.clear();
  if (!last) {
    const std::size_t whole = text.size() / kGroup * kGroup;
    held_ = text.substr(whole);
    text.resize(whole);
  }
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes))
    return absl::InvalidArgumentError("a message of a base64 protocol is not base64");
  if (!bytes.empty()) events_.data(static_cast<unsigned>(channel_), bytes);
  return absl::OkStatus();
}

ChannelMessage MakeChannelMessage(ChannelProtocol protocol, unsigned channel, std::string data) {
  if (!protocol.base64) return {std::string(1, static_cast<char>(channel)), std::move(data)};
  return {absl::StrCat(channel, absl::Base64Escape(data)), ""};
}

}  // namespace berth::cri::streaming
