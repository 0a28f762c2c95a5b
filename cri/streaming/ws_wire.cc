// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/ws_wire.h"

#include <array>
#include <boost/beast/websocket.hpp>

#include "cri/streaming/socket.h"

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

constexpr std::size_t kReadBytes = 32 * 1024;

class MessageWire final : public Wire {
 public:
  explicit MessageWire(std::shared_ptr<Socket> socket) : Wire(std::move(socket)), stream_(*socket_) {
    stream_.read_message_max(0);  // messages are never held whole
    stream_.auto_fragment(false);
  }

  void Accept(const HttpRequest& request, const std::string& protocol, bool text,
              std::function<void(std::shared_ptr<Wire>)> then) {
    stream_.text(text);
    stream_.set_option(websocket::stream_base::decorator([protocol](websocket::response_type& response) {
      if (!protocol.empty()) response.set(boost::beast::http::field::sec_websocket_protocol, protocol);
    }));
    stream_.control_callback([this](websocket::frame_type, boost::beast::string_view) { Touch(); });
    stream_.async_accept(request, [self = shared_from_this(), then = std::move(then)](error_code error) {
      then(error ? nullptr : self);
    });
  }

 private:
  void Read() override {
    stream_.async_read_some(
        asio::buffer(buffer_), [self = shared_from_this(), this](error_code error, std::size_t got) {
          if (error == websocket::error::closed) error = asio::error::eof;
          error ? Failed(error) : Received(std::string_view(buffer_.data(), got), stream_.is_message_done());
        });
  }
  void Write() override {
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(queue_.front().head),
                                                    asio::buffer(queue_.front().body)};
    stream_.async_write(
        buffers, [self = shared_from_this(), this](error_code error, std::size_t) { Written(error, 1); });
  }
  void EndWriting() override {
    stream_.async_close(websocket::close_code::normal,
                        [self = shared_from_this(), this](error_code) { Close(); });
  }
  void SendAlive() override {
    // Beast takes no second one while the first waits, in full buffers, to be sent.
    if (std::exchange(ponging_, true)) return;
    stream_.async_pong({}, [self = shared_from_this(), this](error_code) { ponging_ = false; });
  }

  websocket::stream<Socket&> stream_;
  std::array<char, kReadBytes> buffer_;
  bool ponging_ = false;
};

}  // namespace

void MakeMessageWire(std::shared_ptr<Socket> socket, const HttpRequest& request, const std::string& protocol,
                     bool text, std::function<void(std::shared_ptr<Wire>)> then) {
  std::make_shared<MessageWire>(std::move(socket))->Accept(request, protocol, text, std::move(then));
}

}  // namespace berth::cri::streaming
