// SPDX-License-Identifier: Apache-2.0
#include "cri/streaming/tunnel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace berth::cri::streaming {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxEarlyBytes = 64 * 1024;

}  // namespace

Tunnel::Tunnel(Parts parts, Events events)
    : parts_(std::move(parts)), events_(std::move(events)), socket_(parts_.thread) {}

void Tunnel::Start() { Try(AF_INET); }

void Tunnel::Try(int family) {
  const bool accepted = parts_.executor->Submit([self = shared_from_this(), family] {
    auto made = std::make_shared<absl::StatusOr<base::UniqueFd>>(self->parts_.make_socket(family));
    asio::post(self->parts_.thread, [self, family, made] { self->Connect(family, std::move(*made)); });
  });
  if (!accepted) Connect(AF_INET6, absl::UnavailableError("berthd is shutting down"));
}

void Tunnel::Connect(int family, absl::StatusOr<base::UniqueFd> socket) {
  if (closed_) return;
  if (!socket.ok()) return NotConnected(family, socket.status());
  const bool v4 = family == AF_INET;
  error_code error;
  socket_.assign(v4 ? tcp::v4() : tcp::v6(), socket->Release(), error);
  const asio::ip::address address = v4 ? asio::ip::address(asio::ip::address_v4::loopback())
                                       : asio::ip::address(asio::ip::address_v6::loopback());
  socket_.async_connect({address, parts_.port}, [self = shared_from_this(), family](error_code failed) {
    if (self->closed_) return;
    if (!failed) return self->Connected();
    error_code ignored;
    self->socket_.close(ignored);
    self->NotConnected(family, absl::UnavailableError(failed.message()));
  });
}

void Tunnel::NotConnected(int family, const absl::Status& why) {
  if (family == AF_INET) {
    first_failure_ = std::string(why.message());
    return Try(AF_INET6);
  }
  const auto tell = events_.failed;
  Close();
  tell(absl::UnavailableError(
      absl::StrCat("connect to port ", parts_.port, " on localhost in the pod: 127.0.0.1: ",
                   first_failure_.empty() ? "not tried" : first_failure_, "; [::1]: ", why.message())));
}

void Tunnel::Connected() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  base::UniqueFd reading(socket_.release(ignored));
  base::UniqueFd writing(::fcntl(reading.get(), F_DUPFD_CLOEXEC, 0));
  if (!writing) {
    const auto tell = events_.failed;
    Close();
    return tell(base::SyscallError(errno, "duplicate a descriptor"));
  }
  const auto self = shared_from_this();
  source_ = std::make_shared<FdSource>(
      parts_.thread, std::move(reading),
      FdSource::Events{[self](std::string bytes) { return self->events_.data(std::move(bytes)); },
                       [self] {
                         self->events_.data_end();
                         self->OneDirectionOver();
                       }});
  sink_ =
      std::make_shared<FdSink>(parts_.thread, std::move(writing),
                               FdSink::Events{[self] { self->events_.writable(); },
                                              [self] {  // the pod takes no more; what it sends still counts
                                                self->events_.writable();
                                                self->OneDirectionOver();
                                              },
                                              [self] { self->OneDirectionOver(); }});
  source_->Start();
  sink_->Write(std::exchange(early_, ""));
  if (write_ends_) sink_->End();
}

void Tunnel::Write(std::string_view bytes) {
  if (closed_ || write_ends_) return;
  if (sink_ != nullptr) {
    sink_->Write(bytes);
  } else {
    early_.append(bytes);
  }
}

void Tunnel::EndWriting() {
  if (closed_ || std::exchange(write_ends_, true)) return;
  if (sink_ != nullptr) sink_->End();
}

bool Tunnel::full() const {
  if (closed_) return false;
  return sink_ != nullptr ? sink_->full() : early_.size() >= kMaxEarlyBytes;
}

void Tunnel::Resume() {
  if (source_ != nullptr) source_->Resume();
}

void Tunnel::OneDirectionOver() {
  if (closed_ || ++over_ < 2) return;
  const auto tell = events_.done;
  Close();
  tell();
}

void Tunnel::Close() {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  socket_.close(ignored);
  if (source_ != nullptr) source_->Close();
  if (sink_ != nullptr) sink_->Close();
  DropLater(parts_.thread, std::exchange(events_, {}));
}

}  // namespace berth::cri::streaming
