// SPDX-License-Identifier: Apache-2.0
#include "monitor/console.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/files.h"

namespace berth::monitor {

base::Result<ConsoleSocket> ConsoleSocket::Listen(const std::string& dir, const std::string& name) {
  auto parent = base::OpenAt(AT_FDCWD, dir, O_PATH | O_DIRECTORY);
  if (!parent) return parent.TakeError();
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::SyscallFailed(errno, "socket");
  ::unlinkat(parent->get(), name.c_str(), 0);
  ConsoleSocket console(std::move(*parent), std::move(socket), name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = console.path();
  if (path.size() >= sizeof address.sun_path) return base::SyscallFailed(ENAMETOOLONG, "bind '" + path + "'");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  if (::bind(console.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(console.socket_.get(), 1) != 0) {
    return base::SyscallFailed(errno, "listen at '" + dir + "/" + name + "'");
  }
  return console;
}

ConsoleSocket::~ConsoleSocket() {
  if (dir_) ::unlinkat(dir_.get(), name_.c_str(), 0);
}

std::string ConsoleSocket::path() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(dir_.get()) + "/" + name_;
}

base::Result<base::UniqueFd> ConsoleSocket::Master() {
  base::UniqueFd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection) return base::SyscallFailed(ENOENT, "receive the terminal from the OCI runtime");
  char data[4096];  // it sends the terminal's name along
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec part{data, sizeof data};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0)
    return base::SyscallFailed(errno, "receive the terminal");
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS)
    return base::SyscallFailed(ENOENT, "receive the terminal");
  int master = -1;
  std::memcpy(&master, CMSG_DATA(rights), sizeof master);
  return base::UniqueFd(master);
}

}  // namespace berth::monitor
