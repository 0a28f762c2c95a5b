// SPDX-License-Identifier: Apache-2.0
// The socket on which an OCI runtime hands over the master of a terminal it made (runc's docs/terminals.md).
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace berth::monitor {

class ConsoleSocket {
 public:
  static base::Result<ConsoleSocket> Listen(const std::string& dir, const std::string& name);
  ConsoleSocket(ConsoleSocket&&) = default;
  ConsoleSocket& operator=(ConsoleSocket&&) = delete;
  ~ConsoleSocket();
  // For --console-socket: short enough for sun_path whatever the directory's length; valid while this lives.
  std::string path() const;
  // After the runtime has ended: the master it sent. ENOENT when it sent none.
  base::Result<base::UniqueFd> Master();

 private:
  ConsoleSocket(base::UniqueFd dir, base::UniqueFd socket, std::string name)
      : dir_(std::move(dir)), socket_(std::move(socket)), name_(std::move(name)) {}
  base::UniqueFd dir_;
  base::UniqueFd socket_;
  std::string name_;
};

}  // namespace berth::monitor
