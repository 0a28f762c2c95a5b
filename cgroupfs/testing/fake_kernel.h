// SPDX-License-Identifier: Apache-2.0
// A model of cgroup file systems for tests: files in memory, the kernel's refusals that matter here, and a
// log of all writes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cgroupfs/kernel.h"

namespace berth::cgroupfs {

class FakeKernel final : public Kernel {
 public:
  // A v1 host: cpu, cpuacct, cpuset, memory, pids, freezer, name=systemd, each mounted alone under
  // /sys/fs/cgroup.
  static std::shared_ptr<FakeKernel> V1();
  // A v2 host with all controllers at the root.
  static std::shared_ptr<FakeKernel> V2();

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
  pid_t Self() const override { return 1000; }

  // Adds plain files and directories (a mount's, /proc's). Directories on the way are made.
  void Put(const std::string& file, const std::string& content);
  void PutDir(const std::string& dir);
  void Drop(const std::string& path);  // a file, or a directory with all below
  // The next writes to files that end in `suffix` fail with `err`; 0 lifts it.
  void Refuse(const std::string& suffix, int err);
  // "cpu.shares=512": file names without directories, in order.
  std::vector<std::string> Log() const;
  void ClearLog() { log_.clear(); }
  std::string Content(const std::string& file) const;
  std::vector<std::string> Dirs() const { return {dirs_.begin(), dirs_.end()}; }

  std::function<void(const std::string& file, std::string_view value)>
      on_write;  // after each write that succeeded
  std::function<void()> on_sleep;
  std::vector<pid_t> killed;
  int busy_rmdirs = 0;  // so many RemoveDir calls answer EBUSY first

 private:
  void Populate(const std::string& dir);
  int Check(const std::string& file, std::string_view value) const;

  std::map<std::string, std::string> files_;
  std::set<std::string> dirs_;
  std::map<std::string, int> refused_;
  std::vector<std::string> log_;
};

}  // namespace berth::cgroupfs
