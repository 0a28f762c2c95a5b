// SPDX-License-Identifier: Apache-2.0
// Programs of the host that the suite runs: the daemon, the registry, skopeo, ip.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace berth::e2e {

// A started program; killed and reaped when dropped. Not thread-safe.
class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { Kill(); }

  // stdout and stderr are appended to `log`; `environment` replaces ours. Throws TestError.
  void Start(const std::vector<std::string>& argv, const std::string& log,
             const std::vector<std::string>& environment);
  bool Running();
  void Signal(int signal) const;
  int Wait();   // the raw wait status
  void Kill();  // SIGKILL and reap; nothing when it is gone already
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

struct RunResult {
  int exit_code = -1;  // 128+n for a signal
  std::string output;  // stdout and stderr together
};

RunResult RunProgram(const std::vector<std::string>& argv);
std::string MustRun(const std::vector<std::string>& argv);  // throws TestError with its output

// PATH and the locale, nothing that could send traffic through a proxy.
std::vector<std::string> PlainEnvironment();

}  // namespace berth::e2e
