// SPDX-License-Identifier: Apache-2.0
// One call of the OCI runtime as a child that the loop does not wait for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "monitor/loop.h"
#include "monitor/reaper.h"

namespace berth::monitor {

struct RuntimeProgram {
  std::string path;
  std::string root;
  std::vector<std::string> args;
  std::string hide_mount;
};

struct RuntimeOutcome {
  base::ExitStatus status;
  std::string text;  // its own words, cleaned: "" when it had none
};

class RuntimeCall {
 public:
  struct Options {
    const RuntimeProgram* program = nullptr;
    std::vector<std::string> command;  // "create", "--bundle", …
    std::vector<base::SpawnOptions::Fd>
        fds;               // stdio of the container; without an entry for 2 its stderr is captured
    std::string log_file;  // its --log, removed afterwards
    // What the runtime, and what it starts, has unless the specification says otherwise. crun takes a score
    // of 0 for none (measured: 1.8.1 never writes it), and the container would keep the monitor's.
    int oom_score_adj = 0;
  };
  // `done` runs once, from the loop, after the runtime was reaped.
  static base::Result<std::unique_ptr<RuntimeCall>> Start(Loop& loop, Reaper& reaper, const Options& options,
                                                          std::function<void(const RuntimeOutcome&)> done);
  ~RuntimeCall();
  // Ends it: it will be reaped, and `done` run, as always.
  void Kill();

 private:
  explicit RuntimeCall(Loop& loop) : loop_(loop) {}
  void ReadErrors();

  Loop& loop_;
  base::Child child_;
  base::UniqueFd errors_;
  std::string error_text_;
  std::string log_file_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// What crun and runc print, as one sentence without their JSON, prefixes and doubled words.
std::string CleanRuntimeText(const std::string& log_json_lines, const std::string& stderr_text);

// Exit code of a container that never ran, by the runtime's words: 127 its command does not exist, 126 it
// cannot be executed, else 128.
int StartExitCode(const std::string& text);

// Do the words say that memory did not suffice?
bool SaysOutOfMemory(const std::string& text);

}  // namespace berth::monitor
