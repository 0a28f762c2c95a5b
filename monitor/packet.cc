// SPDX-License-Identifier: Apache-2.0
#include "monitor/packet.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "base/fault.h"
#include "base/files.h"
#include "monitor/messages.h"

namespace berth::monitor {
namespace {

// sun_path has 108 bytes; a pod's directory may be longer, so it is named through a descriptor of it.
sockaddr_un AddressIn(int dir, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(dir) + "/" + name;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

base::Result<base::UniqueFd> NewSocket() {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return base::SyscallFailed(errno, "socket");
  return fd;
}

}  // namespace

base::Result<Packet> ReceivePacket(int fd) {
  static thread_local std::string buffer;
  buffer.resize(kMaxMessageBytes);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPacketFds)];
  iovec data{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return base::SyscallFailed(errno, "receive");
  Packet packet;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(part) + i * sizeof(int), sizeof received);
      packet.fds.emplace_back(received);
    }
  }
  if (got == 0) return base::SyscallFailed(EPIPE, "receive");
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return base::SyscallFailed(EMSGSIZE, "receive");
  packet.text.assign(buffer.data(), static_cast<std::size_t>(got));
  buffer = std::string();  // 64 KiB are not kept between messages
  return packet;
}

base::Result<void> SendPacket(int fd, std::string_view text, const std::vector<int>& fds) {
  if (text.size() > kMaxMessageBytes || fds.size() > kMaxPacketFds)
    return base::SyscallFailed(EMSGSIZE, "send");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPacketFds)] = {};
  iovec data{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t put = 0;
  do {
    put = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (put < 0 && errno == EINTR);
  if (put < 0) return base::SyscallFailed(errno, "send");
  return {};
}

base::Result<base::UniqueFd> ListenAt(const std::string& dir, const std::string& name) {
  auto parent = base::OpenAt(AT_FDCWD, dir, O_PATH | O_DIRECTORY);
  if (!parent) return parent.TakeError();
  auto fd = NewSocket();
  if (!fd) return fd.TakeError();
  BERTH_FAULT_POINT("monitor.socket");
  ::unlinkat(parent->get(), name.c_str(), 0);
  const auto address = AddressIn(parent->get(), name);
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int err = errno;
  ::umask(before);
  if (bound != 0) return base::SyscallFailed(err, "bind '" + dir + "/" + name + "'");
  if (::listen(fd->get(), 16) != 0) return base::SyscallFailed(errno, "listen at '" + dir + "/" + name + "'");
  return fd;
}

base::Result<base::UniqueFd> ConnectAt(const std::string& dir, const std::string& name) {
  auto parent = base::OpenAt(AT_FDCWD, dir, O_PATH | O_DIRECTORY);
  if (!parent) return parent.TakeError();
  auto fd = NewSocket();
  if (!fd) return fd.TakeError();
  const auto address = AddressIn(parent->get(), name);
  // Unix sockets connect at once or fail: EAGAIN when the backlog is full.
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::SyscallFailed(errno, "connect to '" + dir + "/" + name + "'");
  }
  return fd;
}

}  // namespace berth::monitor
