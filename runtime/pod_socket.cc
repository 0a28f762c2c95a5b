// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "runtime/managers.h"

namespace berth::runtime {
namespace {

absl::StatusOr<base::UniqueFd> MakeSocket(int family) {
  base::UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::SyscallError(errno, "socket");
  return socket;
}

}  // namespace

absl::StatusOr<base::UniqueFd> PodSocket(const PodStatus& pod, int family) {
  if (pod.network_namespace.empty()) return MakeSocket(family);
  auto place = base::OpenAt(AT_FDCWD, pod.network_namespace, O_RDONLY);
  if (!place.ok()) return base::Annotate(base::ToStatus(place.error()), "the pod's network namespace");
  absl::StatusOr<base::UniqueFd> made = absl::InternalError("not tried");
  // A socket belongs to the namespace in which it was made, whoever uses it later. So a thread of its own
  // goes there for this one call and ends there: nothing else can ever run in the wrong namespace, and no
  // thread keeps a namespace alive.
  try {
    std::thread([&] {
      if (::setns(place->get(), CLONE_NEWNET) != 0) {
        made = base::SyscallError(errno, absl::StrCat("enter '", pod.network_namespace, "'"));
      } else {
        made = MakeSocket(family);
      }
    }).join();
  } catch (const std::system_error& error) {  // EAGAIN: pids.max, threads-max, no memory
    return absl::ResourceExhaustedError(absl::StrCat("the node gives no further thread: ", error.what()));
  }
  return made;
}

}  // namespace berth::runtime
