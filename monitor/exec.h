// SPDX-License-Identifier: Apache-2.0
// One exec in a container: started by the OCI runtime, reaped by us with its exact status, ended whole on
// demand.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/console.h"
#include "monitor/container.h"
#include "monitor/context.h"
#include "monitor/exec_cgroup.h"
#include "monitor/messages.h"
#include "monitor/runtime_call.h"

namespace berth::monitor {

class Exec {
 public:
  // `gone` runs once, from the loop, when nothing of it is left to do; the exec may be destroyed then.
  Exec(Context& context, Container& container, ExecRequest request, std::function<void()> gone);
  ~Exec();
  void Start(std::vector<base::UniqueFd> fds, Reply reply);
  // Ends the whole tree; "exec_exited" follows if it had started, an exec_failed reply if not.
  void Kill();
  const ExecRequest& request() const { return request_; }

 private:
  void Created(const RuntimeOutcome& outcome);
  void Confirmed();
  void Fail(const std::string& text);
  void Ended();
  void KillTree();
  void Report();
  void Dissolve(int attempt);
  std::string File(const char* suffix) const;

  Context& context_;
  Container& container_;
  const ExecRequest request_;
  std::function<void()> gone_;
  Reply reply_;
  bool replied_ = false;
  bool reported_ = false;
  bool kill_ = false;
  bool killing_ = false;
  ExecCgroup cgroup_;
  std::unique_ptr<RuntimeCall> call_;
  std::optional<ConsoleSocket> console_;
  base::UniqueFd master_;
  pid_t pid_ = 0;
  base::UniqueFd pidfd_;
  std::uint64_t start_ticks_ = 0;
  std::optional<Reaped> ended_;
  std::uint64_t kills_before_ = 0;
  std::int64_t began_ns_ = 0;
  bool oom_killed_ = false;
  std::shared_ptr<CgroupKill> cgroup_kill_;
  std::shared_ptr<bool> stopped_ = std::make_shared<bool>(false);
};

}  // namespace berth::monitor
