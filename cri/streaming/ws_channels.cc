// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/ws_channels.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace berth::cri::streaming {
namespace {

constexpr int kCloseChannel = 255;
constexpr std::size_t kGroup = 4;  // base64 characters that make three bytes
constexpr char kPadding = '=';

// Abseil forgives spaces, dots for padding, none of it, and bits that say nothing; what it writes is
// canonical.
bool Decode(std::string_view text, std::string* bytes) {
  return absl::Base64Unescape({text.data(), text.size()}, bytes) &&
         std::string_view(absl::Base64Escape(*bytes)) == text;
}

std::string DecodeWhatIsGood(std::string_view text) {
  std::string good;
  std::string group;
  for (; Decode(text.substr(0, kGroup), &group) && !group.empty(); text.remove_prefix(kGroup)) {
    good += group;
    if (text[kGroup - 1] == kPadding) break;
  }
  return good;
}

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
    padded_ = false;
  }
  return absl::OkStatus();
}

// Whatever the cut, what is told before a mistake are the whole groups before it.
absl::Status ChannelReader::OnText(std::string_view part, bool last) {
  bool good = part.empty() || !padded_;
  std::string bytes;
  if (good) {
    held_ += part;
    const std::string_view text = std::string_view(held_).substr(0, held_.size() / kGroup * kGroup);
    good = Decode(text, &bytes);
    if (!good) bytes = DecodeWhatIsGood(text);
    padded_ = padded_ || (!text.empty() && text.back() == kPadding);
    held_.erase(0, text.size());
  }
  if (!bytes.empty()) events_.data(static_cast<unsigned>(channel_), bytes);
  if (!good || (last && !held_.empty()))
    return absl::InvalidArgumentError("a message of a base64 protocol is not base64");
  return absl::OkStatus();
}

ChannelMessage MakeChannelMessage(ChannelProtocol protocol, unsigned channel, std::string data) {
  if (!protocol.base64) return {std::string(1, static_cast<char>(channel)), std::move(data)};
  return {absl::StrCat(channel, absl::Base64Escape(data)), ""};
}

}  // namespace berth::cri::streaming
