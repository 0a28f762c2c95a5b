// SPDX-License-Identifier: Apache-2.0
// A throw-away pod for monitor_real_test: directories, a monitor, a client, bundles with a tiny root file
// system.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/testing/patience.h"
#include "monitor/client.h"
#include "monitor/exit_record.h"

namespace berth::monitor::testing {

struct RuntimeUnderTest {
  std::string name, path, hide_mount;
  friend void PrintTo(const RuntimeUnderTest& runtime, std::ostream* out) { *out << runtime.name; }
};
// crun and runc, as far as this host has them.
std::vector<RuntimeUnderTest> Runtimes();

class TestPod {
 public:
  explicit TestPod(const RuntimeUnderTest& runtime, const std::string& kmsg = "",
                   std::optional<int> oom_score_adj = std::nullopt);
  ~TestPod();  // kills what lives, shuts the monitor down, removes cgroups, mounts and files
  TestPod(const TestPod&) = delete;
  TestPod& operator=(const TestPod&) = delete;

  struct Options {
    std::int64_t memory_limit = 0;
    bool tty = false;
    bool stdin_open = false;
    std::string log_path;
    std::string command;   // instead of /busy
    nlohmann::json patch;  // merged into config.json
  };
  // Writes the bundle; its command is /busy with `args`.
  StartRequest Prepare(const std::string& id, const std::vector<std::string>& args, const Options& options);
  StartRequest Prepare(const std::string& id, const std::vector<std::string>& args) {
    return Prepare(id, args, Options());
  }
  // Starts, or fails the test.
  Started Run(const std::string& id, const std::vector<std::string>& args, const Options& options);
  Started Run(const std::string& id, const std::vector<std::string>& args) {
    return Run(id, args, Options());
  }
  // Waits for the event and reads the record.
  ExitRecord Wait(const std::string& id);
  ExitRecord Record(const std::string& id) const;
  // Contents of the container's log without time stamps: "stdout F text".
  std::vector<std::string> Log(const std::string& id) const;
  std::string LogPath(const std::string& id) const { return dir_ + "/logs/" + id + ".log"; }
  // Runs an exec to its end; out gets stdout.
  ExecExit Exec(const std::string& container, const std::string& exec_id,
                const std::vector<std::string>& args, std::string* out = nullptr);
  absl::Status StartExec(Client& client, const std::string& container, const std::string& exec_id,
                         const std::vector<std::string>& args, int out_fd);
  ExecExit WaitExec(const std::string& exec_id);
  void LimitPod(std::int64_t bytes);
  // Whether the container's own child cgroup of that name is there, in any hierarchy.
  bool HasChildCgroup(const std::string& id, const std::string& name) const;
  std::vector<int> Pids(const std::string& id) const;  // of the container's cgroup

  Hub& hub() { return *hub_; }
  Client& client() { return *client_; }
  void Disconnect() { client_.reset(); }
  // Waits until the monitor has ended by itself: false when it does not.
  bool MonitorEnds();
  void Connect();
  bool HolderExited() const { return holder_exited_; }
  std::uint64_t Dropped(const std::string& id);
  const std::string& dir() const { return dir_; }
  const std::string& cgroup() const { return cgroup_; }
  pid_t monitor_pid() const { return monitor_.pid; }

 private:
  ClientEvents Events();
  RuntimeUnderTest runtime_;
  std::string dir_, cgroup_;
  base::ProcessIdentity monitor_;
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<Client> client_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> exited_;
  std::map<std::string, ExecExit> execs_;
  std::map<std::string, std::uint64_t> dropped_;
  std::atomic<bool> holder_exited_{false};
};

inline base::Deadline Soon() { return base::Deadline::After(base::Patient(20 * base::kSecondNs)); }

}  // namespace berth::monitor::testing
