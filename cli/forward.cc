// SPDX-License-Identifier: Apache-2.0
// berth port-forward: local ports whose connections end in a pod. Each connection gets a session of its own,
// so that none waits for another.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <iostream>
#include <mutex>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/fd.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/web_socket.h"
#include "cri/streaming/ws_channels.h"

namespace berth::cli {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kReadBytes = 32 * 1024;
constexpr unsigned kData = 0, kError = 1, kClose = 255;

// Both directions of one connection, one operation at a time in each: who reads slowly holds up the other
// side.
class Forwarded {
 public:
  Forwarded(asio::io_context& io, WebSocket& web, int socket)
      : web_(web),
        local_(io, asio::ip::tcp::v4(), socket),
        reader_({false, true}, {[this](unsigned channel, std::string_view part) {
                                  if (channel <= kError) text_[channel] += part;
                                },
                                [this](unsigned channel) { ended_ = ended_ || channel == kData; }}) {}

  void Start() {
    FromLocal();
    FromPod();
  }
  const std::string& error() const { return error_; }

 private:
  void FromLocal() {
    local_.async_read_some(asio::buffer(out_), [this](error_code error, std::size_t got) {
      const bool last = error || got == 0;
      const std::string head(1, static_cast<char>(last ? kClose : kData));
      message_ = last ? head + std::string(1, '\0') : head + std::string(out_.data(), got);
      web_.stream.async_write(asio::buffer(message_), [this, last](error_code failed, std::size_t) {
        if (!failed && !last) FromLocal();
      });
    });
  }
  void FromPod() {
    web_.stream.async_read_some(asio::buffer(in_), [this](error_code error, std::size_t got) {
      if (!error && !reader_.Feed({in_.data(), got}, web_.stream.is_message_done()).ok())
        error = asio::error::eof;
      if (error) return Close();
      Strip();
      if (text_[kData].empty()) return Next();
      asio::async_write(local_, asio::buffer(text_[kData]), [this](error_code failed, std::size_t) {
        text_[kData].clear();
        failed ? Close() : Next();
      });
    });
  }
  // Each channel begins with the port's number in two bytes.
  void Strip() {
    for (const unsigned channel : {kData, kError}) {
      const std::size_t part = std::min(2 - stripped_[channel], text_[channel].size());
      text_[channel].erase(0, part);
      stripped_[channel] += part;
    }
    error_ += std::exchange(text_[kError], "");
  }
  void Next() {
    error_code ignored;
    if (ended_) local_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    FromPod();
  }
  void Close() {
    error_code ignored;
    local_.close(ignored);
    web_.socket->tcp().close(ignored);
  }

  WebSocket& web_;
  asio::ip::tcp::socket local_;
  streaming::ChannelReader reader_;
  std::array<char, kReadBytes> out_, in_;
  std::string message_, error_;
  std::string text_[2];
  std::size_t stripped_[2] = {0, 0};
  bool ended_ = false;
};

struct Listening {
  base::UniqueFd fd;
  std::uint16_t local = 0, remote = 0;
};

absl::StatusOr<Listening> Listen(const std::string& wish) {
  const std::vector<std::string> parts = absl::StrSplit(wish, ':');
  int local = 0;
  int remote = 0;
  const bool good =
      parts.size() <= 2 && absl::SimpleAtoi(parts.back(), &remote) && remote > 0 && remote <= UINT16_MAX &&
      (parts[0].empty() || (absl::SimpleAtoi(parts[0], &local) && local >= 0 && local <= UINT16_MAX));
  if (!good)
    return absl::InvalidArgumentError(absl::StrCat("'", wish, "' must be PORT, LOCAL:PORT or :PORT"));
  Listening listening;
  listening.remote = static_cast<std::uint16_t>(remote);
  listening.fd.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(local));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(listening.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t size = sizeof address;
  if (::bind(listening.fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listening.fd.get(), SOMAXCONN) != 0 ||
      ::getsockname(listening.fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return base::SyscallError(errno, absl::StrCat("listen at 127.0.0.1:", local));
  }
  listening.local = ntohs(address.sin_port);
  return listening;
}

}  // namespace

absl::Status ForwardConnection(const std::string& url, int socket) {
  base::UniqueFd owned(socket);
  asio::io_context io(1);
  auto web = OpenWebSocket(io, url);
  if (!web.ok()) return web.status();
  Forwarded forwarded(io, **web, owned.Release());
  forwarded.Start();
  io.run();
  return forwarded.error().empty() ? absl::OkStatus() : absl::UnavailableError(forwarded.error());
}

absl::Status PortForward(Connection& daemon, const std::string& pod, const std::vector<std::string>& ports) {
  std::vector<Listening> all;
  std::vector<pollfd> polled;
  for (const auto& wish : ports) {
    auto listening = Listen(wish);
    if (!listening.ok()) return listening.status();
    polled.push_back({listening->fd.get(), POLLIN, 0});
    all.push_back(std::move(*listening));
  }
  // Known before anybody connects.
  if (auto url = daemon.PortForward(pod, all.front().remote); !url.ok()) return url.status();
  for (const auto& listening : all)
    std::cout << "127.0.0.1:" << listening.local << " -> " << listening.remote << std::endl;
  for (;;) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
      return base::SyscallError(errno, "poll");
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (polled[i].revents == 0) continue;
      base::UniqueFd accepted(::accept4(all[i].fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!accepted) continue;
      auto url = daemon.PortForward(pod, all[i].remote);
      if (!url.ok()) return url.status();  // the pod is gone
      std::thread([url = *url, socket = accepted.Release()] {
        if (const auto carried = ForwardConnection(url, socket); !carried.ok())
          std::cerr << absl::StrCat("berth: ", carried.message(), "\n");
      }).detach();
    }
  }
}

}  // namespace berth::cli
