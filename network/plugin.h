// SPDX-License-Identifier: Apache-2.0
// Finding and running the plugins' programs. Thread safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "network/version.h"

namespace berth::network {

// The first executable file of that name. FAILED_PRECONDITION names the directories that were searched.
absl::StatusOr<std::string> FindPlugin(const std::vector<std::string>& bin_dirs, const std::string& type);

// Runs a plugin with its request on standard input and returns what it printed. Its process group is killed
// at the deadline (DEADLINE_EXCEEDED), and the plugin itself when berthd dies: the next daemon sends DEL,
// which must not meet an ADD that is still running. A failure is INTERNAL with the plugin's own words, its
// error code in the payload kPluginCodeUrl. Needs SIGPIPE ignored (a plugin may end before it has read).
absl::StatusOr<std::string> RunPlugin(const std::string& path, std::vector<std::string> env,
                                      const std::string& request, base::Deadline deadline);
inline constexpr char kPluginCodeUrl[] = "type.berth/cni-code";
// The CNI error code that a status of RunPlugin carries; 0 = none.
int PluginCodeOf(const absl::Status& status);

// Which versions a program speaks, asked once per file (device, inode, size, times).
class VersionCache {
 public:
  // Ascending; empty = it did not say (then nothing is ruled out).
  std::vector<CniVersion> Supported(const std::string& path, const std::vector<std::string>& bin_dirs);

 private:
  struct Entry {
    std::string signature;
    std::vector<CniVersion> versions;
  };
  std::mutex mutex_;  // not held while a plugin runs
  std::map<std::string, Entry> entries_;
};

// Is there a network namespace at the path (a bind mount of one, or /proc/<pid>/ns/net)?
bool IsNetns(const std::string& path);

}  // namespace berth::network
