// SPDX-License-Identifier: Apache-2.0
// A client's connection: TCP, or TLS over it; one type for Asio and Beast alike.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <boost/beast/websocket/teardown.hpp>
#include <memory>
#include <utility>

namespace berth::cri::streaming {

// Not thread safe. Stays where it is: the TLS half refers to the other.
class Socket {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using Tls = boost::asio::ssl::stream<Tcp&>;
  using executor_type = Tcp::executor_type;
  using lowest_layer_type = Tcp::lowest_layer_type;
  using next_layer_type = Tcp;

  // Plain without a context. `place` (a server's; a client has none) is let go with the connection.
  Socket(Tcp tcp, std::shared_ptr<boost::asio::ssl::context> context, std::shared_ptr<void> place = nullptr)
      : place_(std::move(place)), tcp_(std::move(tcp)), context_(std::move(context)) {
    if (context_ != nullptr) tls_ = std::make_unique<Tls>(tcp_, *context_);
  }

  Tcp& tcp() { return tcp_; }
  Tls* tls() { return tls_.get(); }

  executor_type get_executor() { return tcp_.get_executor(); }
  lowest_layer_type& lowest_layer() { return tcp_.lowest_layer(); }
  next_layer_type& next_layer() { return tcp_; }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_ != nullptr) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_ != nullptr) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }
  // Beast's synchronous paths are compiled, though not used.
  template <typename Buffers>
  std::size_t read_some(const Buffers& buffers, boost::system::error_code& error) {
    return tls_ != nullptr ? tls_->read_some(buffers, error) : tcp_.read_some(buffers, error);
  }
  template <typename Buffers>
  std::size_t write_some(const Buffers& buffers, boost::system::error_code& error) {
    return tls_ != nullptr ? tls_->write_some(buffers, error) : tcp_.write_some(buffers, error);
  }

 private:
  const std::shared_ptr<void> place_;
  Tcp tcp_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::unique_ptr<Tls> tls_;
};

// How Beast ends a WebSocket's connection.
inline void teardown(boost::beast::role_type role, Socket& socket, boost::system::error_code& error) {
  if (socket.tls() != nullptr) {
    boost::beast::teardown(role, *socket.tls(), error);
  } else {
    boost::beast::websocket::teardown(role, socket.tcp(), error);
  }
}
template <typename Handler>
void async_teardown(boost::beast::role_type role, Socket& socket, Handler&& handler) {
  if (socket.tls() != nullptr) {
    boost::beast::async_teardown(role, *socket.tls(), std::forward<Handler>(handler));
  } else {
    boost::beast::websocket::async_teardown(role, socket.tcp(), std::forward<Handler>(handler));
  }
}

}  // namespace berth::cri::streaming
