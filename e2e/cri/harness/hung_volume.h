// SPDX-License-Identifier: Apache-2.0
// A FUSE file system whose server does not answer, spoken to without a library: the kernel's own protocol
// (linux/fuse.h), of which only three answers are needed.
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace berth::e2e {

class HungVolume {
 public:
  // kAll: not even the root's attributes are told, who looks at `path` hangs (and can be killed: nobody has
  // read the request). kFiles: the root can be mounted and opened; who looks at a name in it is in state D,
  // and no signal reaches it, since the request was read.
  enum class Hangs { kAll, kFiles };
  HungVolume(std::string path, Hangs how);
  ~HungVolume() { Release(); }
  HungVolume(const HungVolume&) = delete;
  HungVolume& operator=(const HungVolume&) = delete;

  // The server is gone: whoever hangs gets ENOTCONN.
  void Release();
  const std::string& path() const { return path_; }
  bool asked() const { return asked_; }  // kFiles: somebody hangs in it

 private:
  void Serve();

  const std::string path_;
  int fd_ = -1;
  int stop_ = -1;
  std::atomic<bool> asked_{false};
  std::thread server_;
};

}  // namespace berth::e2e
