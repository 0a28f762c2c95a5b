// SPDX-License-Identifier: Apache-2.0
// One TCP connection to a port of a pod: localhost there, IPv4 and then IPv6. On the streaming thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "cri/streaming/fd_io.h"
#include "cri/streaming/wire.h"

namespace berth::cri::streaming {

// Held by shared_ptr; ends by itself when both directions are over, or by Close().
class Tunnel : public std::enable_shared_from_this<Tunnel> {
 public:
  struct Events {
    std::function<bool(std::string bytes)> data;      // from the pod; false: nothing more until Resume()
    std::function<void()> data_end;                   // the pod sends no more
    std::function<void()> writable;                   // no longer full()
    std::function<void(const absl::Status&)> failed;  // no connection: once, and nothing else
    std::function<void()> done;                       // both directions are over: once
  };
  struct Parts {
    Thread thread;
    base::Executor* executor = nullptr;
    // A socket in the pod's network namespace; blocks.
    std::function<absl::StatusOr<base::UniqueFd>(int family)> make_socket;
    std::uint16_t port = 0;
  };
  Tunnel(Parts parts, Events events);
  void Start();
  void Write(std::string_view bytes);
  void EndWriting();
  bool full() const;
  void Resume();
  void Close();  // no events any more

 private:
  void Try(int family);
  void Connect(int family, absl::StatusOr<base::UniqueFd> socket);
  void Connected();
  void NotConnected(int family, const absl::Status& why);
  void OneDirectionOver();

  const Parts parts_;
  Events events_;
  boost::asio::ip::tcp::socket socket_;  // until it is connected
  std::shared_ptr<FdSource> source_;
  std::shared_ptr<FdSink> sink_;
  std::string early_;  // what the client sends before there is a connection
  std::string first_failure_;
  bool write_ends_ = false;
  int over_ = 0;
  bool closed_ = false;
};

}  // namespace berth::cri::streaming
