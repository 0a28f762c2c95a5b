// SPDX-License-Identifier: Apache-2.0
#include "daemon/acceptor.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace berth::daemon {
namespace {
constexpr int kAgainMs = 100;
}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is too long for a socket: at most ",
                                                   sizeof address.sun_path - 1, " bytes; set grpc.socket"));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return base::SyscallError(errno, "socket");
  const int fd = listener.get();
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return base::SyscallError(errno, absl::StrCat("bind '", path, "'"));
  // Before anybody can connect.
  if (::chmod(path.c_str(), 0600) != 0) return base::SyscallError(errno, absl::StrCat("chmod '", path, "'"));
  if (::listen(fd, SOMAXCONN) != 0) return base::SyscallError(errno, absl::StrCat("listen at '", path, "'"));
  return Adopt(std::move(listener));
}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Adopt(base::UniqueFd listener) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor);
  acceptor->listener_ = std::move(listener);
  acceptor->stop_.Reset(::eventfd(0, EFD_CLOEXEC));
  if (!acceptor->stop_) return base::SyscallError(errno, "eventfd");
  return acceptor;
}

Acceptor::~Acceptor() {
  (void)::eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void Acceptor::Start(Take take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Loop(); });
}

bool Acceptor::WaitFor(int fd, int timeout_ms) const {
  pollfd fds[] = {{stop_.get(), POLLIN, 0}, {fd, POLLIN, 0}};  // a negative fd is left out
  (void)::poll(fds, 2, timeout_ms);
  return fds[0].revents == 0;
}

void Acceptor::Loop() {
  ::pthread_setname_np(::pthread_self(), "berth-accept");
  bool told = false;
  while (WaitFor(listener_.get(), -1)) {
    base::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    const int err = errno;
    if (connection) {
      told = false;
      take_(std::move(connection));
    } else if (err != EAGAIN && err != EINTR && err != ECONNABORTED) {
      // EMFILE, ENFILE, ENOBUFS, ENOMEM: whoever connects waits until there is room.
      if (!told) {
        base::LogError("could not take a connection; it is tried again",
                       {{"error", base::SyscallError(err, "accept4")}});
      }
      told = true;
      if (!WaitFor(-1, kAgainMs)) return;
    }
  }
}

}  // namespace berth::daemon
