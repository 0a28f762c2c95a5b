// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/spdy.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <regex>
#include <utility>
#include <vector>

namespace berth::e2e::bench {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;

std::string InNetworkOrder(std::uint32_t number) {
  const std::uint32_t bytes = htonl(number);
  return {reinterpret_cast<const char*>(&bytes), sizeof bytes};
}

TestError Failed(const std::string& what) { return TestError(what + ": " + strerror(errno)); }

}  // namespace

SpdyClient::SpdyClient(const std::string& url, const std::string& protocol) : parser_(*this) {
  static const std::regex form("http://([0-9.]+):([0-9]+)(/.*)");
  std::smatch parts;
  if (!std::regex_match(url, parts, form)) throw TestError("'" + url + "' is no URL that is understood here");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(parts[2])));
  ::inet_pton(AF_INET, parts[1].str().c_str(), &address.sin_addr);
  socket_.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw Failed("connect to '" + url + "'");
  const int on = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Write("POST " + parts[3].str() + " HTTP/1.1\r\nHost: " + parts[1].str() +
        "\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: " + protocol +
        "\r\nContent-Length: 0\r\n\r\n");
  std::string answer;
  char byte = 0;  // one at a time: what follows is SPDY's
  while (answer.find("\r\n\r\n") == std::string::npos) {
    if (::recv(socket_.get(), &byte, 1, 0) != 1) throw TestError("'" + url + "' answered '" + answer + "'");
    answer += byte;
  }
  if (answer.rfind("HTTP/1.1 101 ", 0) != 0) throw TestError("'" + url + "' answered '" + answer + "'");
}

void SpdyClient::Write(const std::string& bytes) const {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t put = ::send(socket_.get(), bytes.data() + written, bytes.size() - written, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw Failed("write to the streaming server");
    written += static_cast<std::size_t>(put);
  }
}

std::uint32_t SpdyClient::Open(const streaming::Headers& headers) {
  const std::uint32_t id = next_;
  next_ += 2;
  streams_[id];
  const std::string content =
      InNetworkOrder(id) + InNetworkOrder(0) + std::string(2, '\0') + writer_.Write(headers);
  Write(streaming::ControlFrame(streaming::FrameType::kSynStream, 0, content));
  return id;
}

void SpdyClient::Ended(std::uint32_t id) {
  if (std::exchange(streams_[id].ended, true)) return;
  Write(streaming::DataHead(id, 0, true));
}

void SpdyClient::ReadToTheEnd() {
  std::vector<char> buffer(kReadBytes);
  const auto open = [this] {
    return std::any_of(streams_.begin(), streams_.end(), [](const auto& each) { return !each.second.ended; });
  };
  while (open()) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Failed("read from the streaming server");
    if (got == 0) throw TestError("the streaming server hung up before its streams had ended");
    Must(parser_.Feed({buffer.data(), static_cast<std::size_t>(got)}));
  }
}

absl::Status SpdyClient::OnControl(std::uint16_t type, std::uint8_t, std::string_view content) {
  if (static_cast<streaming::FrameType>(type) != streaming::FrameType::kRstStream) return absl::OkStatus();
  if (content.size() >= 4) Ended(streaming::Number32(content, 0));
  return absl::OkStatus();
}

absl::Status SpdyClient::OnData(std::uint32_t id, std::string_view part, bool fin) {
  constexpr std::size_t kHead = 1024;
  Stream& stream = streams_[id];
  last_ = Clock::now();
  if (first_ == Clock::time_point{}) first_ = last_;
  stream.bytes += static_cast<long long>(part.size());
  stream.head.append(part.substr(0, kHead - std::min(kHead, stream.head.size())));
  if (fin) Ended(id);
  return absl::OkStatus();
}

}  // namespace berth::e2e::bench
