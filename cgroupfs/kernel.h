// SPDX-License-Identifier: Apache-2.0
// The kernel as this folder sees it: control files, directories and signals. Tests put a model in its place,
// so that the order of writes and every refusal can be examined without the host. Thread safe. Paths are
// absolute.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace berth::cgroupfs {

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual base::Result<std::string> Read(const std::string& file) const = 0;
  // One write(2). An empty value is written as a newline: a write of no bytes reaches no cgroup file's
  // handler.
  virtual base::Result<void> Write(const std::string& file, std::string_view value) = 0;
  virtual bool Exists(const std::string& path) const = 0;
  // EEXIST when it is there already.
  virtual base::Result<void> MakeDir(const std::string& dir) = 0;
  virtual base::Result<void> RemoveDir(const std::string& dir) = 0;
  // Names of the directories in `dir`, sorted.
  virtual base::Result<std::vector<std::string>> SubDirs(const std::string& dir) const = 0;
  // Waits until `file` (cgroup.events) has the line `line`; its change is told by POLLPRI (cgroup-v2.rst).
  // ETIMEDOUT otherwise.
  virtual base::Result<void> AwaitLine(const std::string& file, std::string_view line,
                                       base::Deadline deadline) const = 0;
  // SIGKILL to each of `pids` that `list` still names once it is held by a pidfd: between a listing and a
  // signal a pid may have become somebody else's.
  virtual void Kill(const std::vector<pid_t>& pids, const std::function<std::vector<pid_t>()>& list) = 0;
  virtual void Sleep(std::int64_t ns) const = 0;
  virtual pid_t Self() const = 0;
};

class SystemKernel final : public Kernel {
 public:
  base::Result<std::string> Read(const std::string& file) const override;
  base::Result<void> Write(const std::string& file, std::string_view value) override;
  bool Exists(const std::string& path) const override;
  base::Result<void> MakeDir(const std::string& dir) override;
  base::Result<void> RemoveDir(const std::string& dir) override;
  base::Result<std::vector<std::string>> SubDirs(const std::string& dir) const override;
  base::Result<void> AwaitLine(const std::string& file, std::string_view line,
                               base::Deadline deadline) const override;
  void Kill(const std::vector<pid_t>& pids, const std::function<std::vector<pid_t>()>& list) override;
  void Sleep(std::int64_t ns) const override;
  pid_t Self() const override;
};

}  // namespace berth::cgroupfs
