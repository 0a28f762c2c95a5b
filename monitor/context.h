// SPDX-License-Identifier: Apache-2.0
// What the parts of a serving monitor share.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/fd.h"
#include "cgroupfs/cgroup.h"
#include "monitor/loop.h"
#include "monitor/reaper.h"

namespace berth::monitor {

struct Context {
  Loop& loop;
  Reaper& reaper;
  const cgroupfs::Host& cgroups;
  std::string pod_id;
  std::string kernel_log;
  // An event to every connection that said hello.
  std::function<void(const nlohmann::json& event)> broadcast;
  // The process that held the pod's PID namespace is dead or dying: the kernel kills all others in it, and
  // lets its end be seen only after theirs.
  std::function<bool()> holder_gone;
  // A container has ended for good: told, recorded, deleted at the OCI runtime.
  std::function<void()> container_gone;
};

struct ReplyError {
  std::string code;  // messages.h: kErr…
  std::string stage;
  std::string message;
};

// Answers one request, once: fields of the reply and descriptors, or an error.
struct Reply {
  std::function<void(nlohmann::json fields, std::vector<base::UniqueFd> fds)> ok;
  std::function<void(ReplyError error)> failed;
};

}  // namespace berth::monitor
