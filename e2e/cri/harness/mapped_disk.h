// SPDX-License-Identifier: Apache-2.0
// A file system on a mapped device: its disk can be made slow, stuck or failing, and whole again.
#pragma once

#include <string>

namespace berth::e2e {

class MappedDisk {
 public:
  // Why there can be none here; empty when there can.
  static std::string Lacks();

  // Mounted at a directory `name` of the environment's. Without a journal, or the first error would make the
  // file system read-only for good: this one goes on when its disk does. Throws TestError.
  MappedDisk(const std::string& name, int mib);
  ~MappedDisk();
  MappedDisk(const MappedDisk&) = delete;
  MappedDisk& operator=(const MappedDisk&) = delete;

  void Delay(int ms) const;  // each read and each write
  void Fail() const;         // each read and each write ends with EIO
  void Heal() const;
  // What is read or written waits until Release(), however long that takes.
  void Hold() const;
  void Release() const;
  const std::string& path() const { return path_; }

 private:
  void Undo();
  void Map(const std::string& table) const;

  const std::string name_, path_, file_;
  std::string loop_, sectors_;
  bool mapped_ = false, mounted_ = false;
};

}  // namespace berth::e2e
