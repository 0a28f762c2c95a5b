// SPDX-License-Identifier: Apache-2.0
// The ways to die of memory, or nearly, and what must be said of each.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "e2e/cri/harness/pod.h"

namespace berth::e2e {

// What a case needs when the kill has happened and the daemon is there (again).
enum class After { kNothing, kStopTerm, kStopKill };

// Who runs a case's command. What an exec leaves behind lives on after it, also without the daemon; an exec
// itself is killed with the daemon that asked for it.
enum class By { kContainer, kExec, kLeftByExec };

struct OomCase {
  std::string name;
  std::vector<std::string> command;  // begins after the trigger
  After after = After::kNothing;
  int exit_code = 137;
  std::string reason = "OOMKilled";
  std::string message = {};  // must be in it; "" for anything
  long long pod_limit = 0;   // the sandbox's own limit, smaller than the container's
  By by = By::kContainer;    // by an exec: in an idle container
};

enum class DaemonIs { kAlive, kDead };

// Point 3 of the exactness list: everything that can be killed in one go, with the daemon so at the time.
std::vector<OomCase> ExactnessCases(DaemonIs daemon);
std::vector<OomCase> PodLimitCases();  // these need the kernel's rate-limited line: not many within 5 s

// One container of a case, waiting for its trigger.
class OomTrial {
 public:
  OomTrial(const OomCase& oom_case, int number);
  ~OomTrial();

  void Pull();          // lets it begin
  bool Killed() const;  // the kernel's kill has happened and what dies of it is dead
  void Settle();        // does what the case wants after the kill
  void Check() const;   // EXPECTs; call it as often as you like: the answer must not change
  std::string Describe() const { return case_.name + " #" + std::to_string(number_); }

 private:
  OomCase case_;
  int number_;
  std::string trigger_dir_;
  std::unique_ptr<Pod> pod_;
  std::unique_ptr<Container> container_;
  std::thread exec_;
};

}  // namespace berth::e2e
