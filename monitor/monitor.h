// SPDX-License-Identifier: Apache-2.0
// A pod's monitor: requests to containers, execs and the holder.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "monitor/connection.h"
#include "monitor/container.h"
#include "monitor/context.h"
#include "monitor/exec.h"

namespace berth::monitor {

struct ServeOptions {
  std::string pod_id;
  std::string pod_dir;
  std::string kernel_log;
  std::string holder_program;
};

class Monitor {
 public:
  Monitor(Loop& loop, Reaper& reaper, const cgroupfs::Host& cgroups, ServeOptions options);
  ~Monitor();
  // Listens; the caller runs the loop, which a shutdown request stops.
  base::Result<void> Listen();
  // The node shuts down: stops the loop as soon as no container is left to wait for. Their ends are on disk
  // then, the OCI runtime has cleaned up after them and the holder is gone.
  void EndAfterContainers();

 private:
  using Json = nlohmann::json;
  using Fds = std::vector<base::UniqueFd>;
  using Peer = std::shared_ptr<Connection>;
  using Handler = void (Monitor::*)(const Peer&, const Json&, Fds, Reply);

  void Accept();
  void Dispatch(const Peer& peer, const std::string& type, const Json& request, Fds fds, Reply reply);
  void Broadcast(const Json& event);
  void Closed(const Peer& peer);
  Container* Find(const std::string& id);
  Container* FindOrFail(const Json& request, const Reply& reply);

  void OnHello(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnHolder(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnStart(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnSignal(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnKill(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnExec(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnExecKill(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnAttach(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnAttachInputLast(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnReopenLog(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnUpdate(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnList(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnForget(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnShutdown(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void OnPing(const Peer& peer, const Json& request, Fds fds, Reply reply);
  void EndIfLast();
  // Ends the holder, tells all who asked, and ends.
  void Leave(std::function<void()> told);
  void Left();
  void RestSoon();
  Json DescribeHolder() const;
  bool HolderGone() const;

  struct RunningExec {
    std::unique_ptr<Exec> exec;
    std::weak_ptr<Connection> owner;
    std::string container_id;
  };

  Loop& loop_;
  const ServeOptions options_;
  Context context_;
  base::UniqueFd listening_;
  std::set<Peer> peers_;
  std::map<std::string, std::unique_ptr<Container>> containers_;
  std::map<std::string, RunningExec> execs_;
  std::optional<base::Child> holder_;
  bool holder_died_ = false;
  bool ending_ = false;   // no later than its last container
  bool leaving_ = false;  // takes nothing on any more
  std::uint64_t holder_ticks_ = 0;
  std::vector<std::function<void()>> when_left_;
  Loop::TimerId resting_ = 0;
};

}  // namespace berth::monitor
