// SPDX-License-Identifier: Apache-2.0
#include "e2e/cri/harness/hung_volume.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "e2e/cri/harness/files.h"
#include "e2e/cri/harness/wait.h"

namespace berth::e2e {
namespace {

template <typename Body>
void Reply(int fd, const fuse_in_header& request, const Body& body) {
  fuse_out_header head{};
  head.len = sizeof head + sizeof body;
  head.unique = request.unique;
  iovec parts[] = {{&head, sizeof head}, {const_cast<Body*>(&body), sizeof body}};
  static_cast<void>(!::writev(fd, parts, 2));
}

void Refuse(int fd, const fuse_in_header& request, int err) {
  fuse_out_header head{};
  head.len = sizeof head;
  head.error = -err;
  head.unique = request.unique;
  static_cast<void>(!::write(fd, &head, sizeof head));
}

}  // namespace

HungVolume::HungVolume(std::string path, Hangs how) : path_(std::move(path)) {
  MakeDirs(path_);
  fd_ = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd_ < 0) throw TestError("cannot open /dev/fuse");
  const std::string options =
      "fd=" + std::to_string(fd_) + ",rootmode=40000,user_id=0,group_id=0,allow_other";
  if (::mount("berth-e2e-hung", path_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    ::close(fd_);
    throw TestError("cannot mount fuse");
  }
  if (how == Hangs::kAll) return;
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  server_ = std::thread([this] { Serve(); });
}

void HungVolume::Release() {
  if (fd_ < 0) return;
  if (server_.joinable()) {
    static_cast<void>(::eventfd_write(stop_, 1));
    server_.join();
    ::close(stop_);
  }
  ::close(fd_);  // the last reference: the kernel ends the connection
  fd_ = -1;
  ::umount2(path_.c_str(), MNT_DETACH);
}

void HungVolume::Serve() {
  alignas(fuse_in_header) char buffer[1 << 17];
  for (;;) {
    pollfd fds[] = {{fd_, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    const ssize_t got = ::read(fd_, buffer, sizeof buffer);
    if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) continue;
    fuse_in_header request;
    std::memcpy(&request, buffer, sizeof request);
    switch (request.opcode) {
      case FUSE_INIT: {
        fuse_init_out answer{};
        answer.major = FUSE_KERNEL_VERSION;
        answer.minor = 31;
        answer.max_write = 4096;
        Reply(fd_, request, answer);
        break;
      }
      case FUSE_GETATTR: {
        fuse_attr_out answer{};
        answer.attr_valid = 3600;
        answer.attr.ino = 1;
        answer.attr.mode = S_IFDIR | 0755;
        answer.attr.nlink = 2;
        Reply(fd_, request, answer);
        break;
      }
      case FUSE_OPENDIR:
        Reply(fd_, request, fuse_open_out{});
        break;
      case FUSE_LOOKUP:  // read, and never answered
        asked_ = true;
        break;
      case FUSE_FORGET:  // has no answer
      case FUSE_INTERRUPT:
        break;
      default:
        Refuse(fd_, request, ENOSYS);
    }
  }
}

}  // namespace berth::e2e
