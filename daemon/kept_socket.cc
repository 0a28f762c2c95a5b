// SPDX-License-Identifier: Apache-2.0
#include "daemon/kept_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <cstring>

#include "base/log.h"

namespace berth::daemon {
namespace {

#define BERTH_KEPT_NAME "berth-socket"

bool IsSocket(const std::string& path) {
  struct stat facts {};
  return ::lstat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode);
}

}  // namespace

base::UniqueFd TakeKeptSocket(const std::string& path) {
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  base::UniqueFd kept;
  for (int i = 0; i < count; ++i) {
    base::UniqueFd fd(SD_LISTEN_FDS_START + i);  // others than ours are nothing that we asked for
    const bool ours = names != nullptr && std::strcmp(names[i], BERTH_KEPT_NAME) == 0;
    if (ours && !kept && IsSocket(path) &&
        ::sd_is_socket_unix(fd.get(), SOCK_STREAM, 1, path.c_str(), 0) > 0) {
      kept = std::move(fd);
    }
  }
  for (int i = 0; names != nullptr && i < count; ++i) ::free(names[i]);
  ::free(static_cast<void*>(names));
  if (count > 0 && !kept) {
    base::LogInfo("what systemd kept is no socket of ours at the configured path", {{"socket", path}});
    (void)::sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" BERTH_KEPT_NAME);
  }
  return kept;
}

bool KeepSocket(int listener) {
  return ::sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=" BERTH_KEPT_NAME, &listener, 1) > 0;
}

}  // namespace berth::daemon
